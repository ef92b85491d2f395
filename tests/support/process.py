"""A command → its process, ended with the block whatever happens in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def output(*command: str | Path) -> bytes:
    """Run a command that has to succeed, and return what it printed."""
    return subprocess.run(command, capture_output=True, check=True).stdout


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:  # noqa: ANN401 - Popen's own
    """Start a command with Popen's options and text streams; kill it when the block ends."""
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
