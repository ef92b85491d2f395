"""A base class of captures that run until their `with` block is left."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self


class Running(ABC):
    """Something that runs; leaving its `with` block ends it."""

    @abstractmethod
    def _end(self) -> None:
        """End it; nothing happens if it has ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()


def next_due(due: float, each: float) -> float:
    """Return when the interval after the one that was due at `due` ends.

    Intervals that passed while the last one was being read are one with the next.
    """
    now = time.monotonic()
    return due + each if due + each > now else now + each


def interval_ends(
    begun: float,
    interval_s: float | None,
    duration_s: float | None,
    wait: Callable[[float], None],
    is_over: Callable[[], bool],
) -> Iterator[None]:
    """Yield at the end of each interval but the last, which ends with the whole.

    Args:
        begun: Begin of the first interval, on the monotonic clock, s.
        interval_s: Length of an interval; None for one that lasts until the end.
        duration_s: Length of the whole; None if only `is_over` ends it.
        wait: Waits until a time, or until the whole is over.
        is_over: Returns true once the whole was ended.
    """
    end = begun + duration_s if duration_s is not None else float("inf")
    each = interval_s if interval_s is not None else float("inf")
    due = begun + each
    while not is_over():
        wait(min(due, end))
        if is_over() or time.monotonic() >= end:
            return
        due = next_due(due, each)
        yield
