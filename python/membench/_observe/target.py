"""A replay's target on this machine → what was observed of it while the replay ran."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from membench._hint import Hint
from membench._observe.beside import KEPT, SLOWER_THAN_S, Companion, ObservedBeside
from membench._observe.observe import ObserveInterval, observe_beside
from membench._options import Selection
from membench._running import Running
from membench.errors import UsageError

# An hour of them; a run's file has room for no more.
_MOST_INTERVALS = 3600


class BesideReplay(Running):
    """An observation of a replay's target; it ends with its `with` block."""

    def __init__(self, target: str, port: int | None) -> None:
        """Begin to observe a target at a port of this machine.

        Raises:
            UsageError: The target is elsewhere, or has no port.
            CaptureUnavailableError: No server is there, or this machine or your permissions do not
                allow it.
        """
        if port is None:
            raise UsageError(
                f"{target} is no port of this machine, and cannot be observed from here",
                Hint("replay on the target's machine, or observe it there: `{observe}`"),
            )
        self.intervals: list[ObserveInterval] = []
        self._over = threading.Event()
        self._ended_ns = 0
        observation, native = observe_beside(
            Selection(ports=[port]),
            requests=True,
            slower_than_s=SLOWER_THAN_S,
            keep=KEPT,
            # The replay compares the target's counters with what it sent itself.
            asks=False,
        )
        self._began_ns = observation.began_ns
        self._companion = Companion(
            observation, native, self._over.is_set, self._keep, lambda: None
        )

    def _keep(self, interval: ObserveInterval) -> bool:
        if len(self.intervals) >= _MOST_INTERVALS:
            return False
        self.intervals.append(interval)
        return True

    def _end(self) -> None:
        self._ended_ns = time.monotonic_ns()
        self._over.set()
        self._companion.result()

    def since(self, duration_s: float) -> tuple[ObserveInterval, ...]:
        """Return the intervals of the last seconds before the end: those before are the warm-up's.

        The interval in which it ended is among them.
        """
        begun_s = (self._ended_ns - self._began_ns) / 1e9 - duration_s
        return tuple(one for one in self.intervals if one.elapsed_s > begun_s)

    def result(self, kept: Sequence[ObserveInterval]) -> ObservedBeside:
        """Return the tally of the intervals that are kept, once the observation has ended."""
        return replace(
            self._companion.result(),
            intervals=len(kept),
            requests=sum(one.account.requests for one in kept if one.account is not None),
            left_out=sum(one.misses.lost for one in kept if one.misses is not None),
        )
