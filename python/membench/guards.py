"""What keeps a recording harmless: how it stands back, and what ends it before it hurts."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of one recording; None is no limit. Reaching one detaches, seals, and names it.

    The defaults only look after the disk, as a process of yours may do more than record.
    `Guards.of_command` is what the command line sets.

    Attributes:
        nice: Raise the niceness of the calling thread and of those it starts to this, and let the
            process be the first to go when memory runs out. Neither can be taken back.
        max_cpu: Most CPU time of the process, as a share of one CPU over 5 s.
        max_memory: Most memory of the process, the ring included, bytes.
        max_size: Most it writes, bytes.
        min_free: Least that must stay free on the disk it writes to, bytes.
    """

    nice: int | None = None
    max_cpu: float | None = None
    max_memory: int | None = None
    max_size: int | None = 10 * GIB
    min_free: int | None = GIB

    @classmethod
    def of_command(cls) -> Guards:
        """Return those of `membench record`, a process that does nothing else.

        One CPU, as one thread empties the ring: who needs more falls behind anyway. 1 GiB of
        memory is several times what a part of a million events takes to seal.
        """
        return cls(nice=10, max_cpu=1.0, max_memory=GIB)


@dataclass(frozen=True, slots=True)
class Pace:
    """How well a recorder keeps up.

    Attributes:
        ring_fill: The fullest it found the ring, 0…1.
        lag_s: Age of the oldest record it found, s.
        late: How often the ring was at least half full, or a record a second old.
    """

    ring_fill: float = 0.0
    lag_s: float = 0.0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Yielding:
    """How a recorder stands back for others; None is what was left as it is."""

    nice: int | None = None
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a recording by itself, as in `Guards`; None is no limit."""

    max_cpu: float | None = None
    max_memory: int | None = None
    max_size: int | None = None
    min_free: int | None = None
