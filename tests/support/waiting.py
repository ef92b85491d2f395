"""A condition and a deadline → the condition's value, or a failure that says what never came."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: An emulated machine is slower by so much: every deadline is longer by that.
PATIENCE = float(os.environ.get("MEMBENCH_PATIENCE", "1"))
#: How often a condition is looked at, s. What is waited for may need the processor.
INTERVAL = 0.002 * PATIENCE


def until(condition: Callable[[], T], what: str, deadline: float = 60.0) -> T:
    """Return the first true value of `condition`; fail after `deadline` seconds, naming `what`."""
    deadline *= PATIENCE
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:g} s")
        time.sleep(INTERVAL)
