"""Guards, which keep a recording harmless, and how well a recorder keeps up."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of one recording; None is no limit. Reaching one detaches, seals, and names it.

    The defaults only protect the disk, as your process may do more than record.
    `Guards.of_command` has those of the command line.

    Attributes:
        nice: Raises the niceness of the calling thread and of those it starts, and lets the process
            be killed first when memory runs out. Neither can be undone.
        max_cpu: Most CPU time of the process, as a share of one CPU over 5 s.
        max_memory: Most memory of the process, the rings included, bytes.
        max_written: Most bytes written; `record(max_size=...)` replaces it.
        min_free: Least space that must stay free on the disk written to, bytes.
    """

    nice: int | None = None
    max_cpu: float | None = None
    max_memory: int | None = None
    max_written: int | None = 10 * GIB
    min_free: int | None = GIB

    @classmethod
    def of_command(cls) -> Guards:
        """Return the guards of `membench record`, a process that does nothing else.

        One CPU, as one thread drains the rings: a recorder that needs more falls behind anyway.
        1 GiB of memory is several times what sealing a part of a million events takes.
        """
        return cls(nice=10, max_cpu=1.0, max_memory=GIB)


@dataclass(frozen=True, slots=True)
class Pace:
    """Measures of how well a recorder keeps up.

    Attributes:
        ring_fill: Highest fill of a ring, 0…1.
        lag_s: Age of the oldest record, s.
        late: Number of looks that found a ring half full, or a record a second old.
    """

    ring_fill: float = 0.0
    lag_s: float = 0.0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Yielding:
    """Measures by which a recorder makes way for others; None where there are none."""

    nice: int | None = None
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The guards that apply to a recording, as in `Guards`; None is no limit."""

    max_cpu: float | None = None
    max_memory: int | None = None
    max_written: int | None = None
    min_free: int | None = None
