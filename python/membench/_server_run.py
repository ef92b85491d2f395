"""A process that served while a recording lasted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerRun:
    """A server's process, and the part of a recording for which it ran.

    Attributes:
        listening: Address or path that it listened at.
        port: Its port; 0 at a path.
        pid: Its process; None if it could not be seen.
        version: Its version, as it said itself.
        threads: Its worker threads.
        memory: Memory that it may use for items (memcached's `-m`), bytes.
        began_s: Time at which it was found, s since the recording began; None if it ran before.
        ended_s: Time by which it had ended, s since the recording began; None if it still ran at
            the recording's end.
    """

    listening: str
    port: int
    pid: int | None = None
    version: str | None = None
    threads: int | None = None
    memory: int | None = None
    began_s: float | None = None
    ended_s: float | None = None
