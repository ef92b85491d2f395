"""A condition and a deadline → the condition's value, or a failure that names it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Factor by which every deadline is extended, for emulated machines.
PATIENCE = float(os.environ.get("MEMBENCH_PATIENCE", "1"))
#: Default deadline of every wait, s: what takes seconds on an idle machine may take a minute on a
#: busy one, and a deadline costs a passing test nothing.
DEADLINE = 120 * PATIENCE
#: Pause between two looks at a condition, s: the awaited process may need the CPU.
INTERVAL = 0.002 * PATIENCE


def until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Return the first true value of `condition`; fail after `deadline` seconds, naming `what`."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:g} s")
        time.sleep(INTERVAL)


def let_pass(seconds: float) -> None:
    """Wait at least `seconds`: for behaviour that only elapsed time brings about."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(left)
