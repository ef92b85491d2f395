"""Something a machine has once → one test at a time uses it, across all runs of the suite."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(what: str) -> Iterator[None]:
    """Hold the lock named `what` while the block runs; the kernel releases it if we are killed."""
    path = Path(tempfile.gettempdir(), f"membench-test-{what.replace(' ', '-')}.lock")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
