"""Intervals of the last while, and the condition on which they are written."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from membench._observe.observe import ObserveInterval
from membench._observe.results import PARTS
from membench._units import NANOSECONDS
from membench.errors import UsageError

_CONDITION = re.compile(
    r"\s*(?:([a-z_]+)\.)?(p50|p90|p99|p999|max)\s*>\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*"
    rf"({'|'.join(NANOSECONDS)})\s*"
)
_EXAMPLES = "`p99>2ms`, `max>50ms` and `lock.p99>500us` are conditions"
# Most slow requests that are kept in all: some 100 MB.
_MOST_SLOW = 100_000
# Most intervals that are kept.
_MOST = 3600


@dataclass(frozen=True, slots=True)
class Condition:
    """A quantile of the requests' time, or of a part of it, that is too long.

    Attributes:
        text: The condition, as the user wrote it.
        part: One of `PARTS`, or `whole`.
        quantile: Field of the part's quantiles.
        limit_ns: The time that the quantile must exceed, ns.
    """

    text: str
    part: str
    quantile: str
    limit_ns: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises:
            UsageError: It is none.
        """
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise UsageError(f"not a condition: `{text}`", _EXAMPLES)
        part = match[1] or "whole"
        if part not in {*PARTS, "whole"}:
            raise UsageError(
                f"not a condition: `{text}`, as no part of a request is called `{part}`",
                f"the parts are {', '.join(PARTS)}",
            )
        limit_ns = float(match[3]) * NANOSECONDS[match[4]]
        return cls(text, part, f"{match[2]}_ns", limit_ns)

    def holds(self, interval: ObserveInterval) -> bool:
        """Return true if an interval has requests whose quantile exceeds the limit."""
        times = interval.account.quantiles.get(self.part) if interval.account is not None else None
        return times is not None and getattr(times, self.quantile) > self.limit_ns


class Hindsight:
    """Intervals of the last while."""

    def __init__(self, length_s: float) -> None:
        """Keep intervals for a time."""
        self._length_s = length_s
        self._kept: deque[ObserveInterval] = deque()

    def add(self, interval: ObserveInterval) -> None:
        """Keep an interval, and forget those that are too old or too many."""
        self._kept.append(interval)
        slow = sum(len(one.slow) for one in self._kept)
        while len(self._kept) > 1:
            oldest = self._kept[0]
            is_old = oldest.elapsed_s <= interval.elapsed_s - self._length_s
            if not is_old and slow <= _MOST_SLOW and len(self._kept) <= _MOST:
                break
            slow -= len(oldest.slow)
            self._kept.popleft()

    def take(self) -> list[ObserveInterval]:
        """Return what is kept, the oldest first, and forget it."""
        kept = list(self._kept)
        self._kept.clear()
        return kept
