"""Signals that end a command → a note of each, or an act, in place of an exception."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def noted(*numbers: int, then: Callable[[], object] | None = None) -> set[int]:
    """Return a set that has each of these signals from when it comes; call `then` when one comes.

    An exception could come between taking figures and printing them, which would lose them.
    """
    came: set[int] = set()

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        came.add(number)
        if then is not None:
            then()

    for number in numbers:
        signal.signal(number, note)
    return came
