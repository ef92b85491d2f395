"""Keys pressed at a terminal → characters, without waiting for a line."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def pressed() -> Iterator[Callable[[], str]]:
    """Yield a function that returns the keys pressed since its last call.

    The function returns the empty string if stdin is not a terminal.
    """
    if not sys.stdin.isatty():
        yield lambda: ""
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield lambda: _read(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read(descriptor: int) -> str:
    ready, _, _ = select.select([descriptor], [], [], 0)
    return os.read(descriptor, 64).decode("utf-8", "replace") if ready else ""
