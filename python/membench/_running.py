"""A base class of captures that run until their `with` block is left."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
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
