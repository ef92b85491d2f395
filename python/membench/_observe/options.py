"""The choice of figures that an observation takes, as one object for the engine."""

from __future__ import annotations

from dataclasses import dataclass

# Groups by which requests are summed apart, if asked for.
GROUPS = ("command", "connection")


@dataclass(frozen=True, slots=True)
class Options:
    """A choice of figures from the kernel's tracepoints.

    Attributes:
        requests: True to account for each request; otherwise only rare events of TCP are counted.
        by: Groups of `GROUPS` by which requests are summed, too.
        slower_than_s: Time from which a request is listed, s.
        keep: The most that are listed of an interval.
        hindsight_s: Length of the time before now that a timeline shows, s.
        drop_privileges: True to give up every privilege once attached.
    """

    requests: bool
    by: tuple[str, ...]
    slower_than_s: float | None
    keep: int
    hindsight_s: float | None
    drop_privileges: bool
