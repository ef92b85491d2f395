"""`python -m membench …` on a terminal of its own: its screen and its keys."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from support.cli import COMMAND, environment
from support.waiting import DEADLINE

STREAMS = ("stdin", "stdout", "stderr")


class Terminal:
    """A command, some of whose streams are a terminal; the others are files."""

    def __init__(
        self, process: subprocess.Popen[bytes], controller: int, files: dict[str, Path]
    ) -> None:
        """Take a process that was just started, and its terminal."""
        self.process = process
        self._controller = controller
        self._files = files
        self._screen = b""

    def screen(self) -> bytes:
        """Return everything shown so far."""
        with suppress(OSError):  # the command has closed the terminal
            while select.select([self._controller], [], [], 0)[0]:
                self._screen += os.read(self._controller, 65536)
        return self._screen

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._controller, keys)

    def said(self, stream: str) -> str:
        """Return the text of a stream that is a file."""
        return self._files[stream].read_text()

    def ended(self) -> bool:
        """Return true once it has ended; also read its terminal, so that it never blocks on it."""
        self.screen()
        return self.process.poll() is not None


@contextmanager
def terminal(
    *arguments: str | Path, streams: Sequence[str], columns: int = 100
) -> Iterator[Terminal]:
    """Start a command whose `streams` are a terminal; kill it when the block ends."""
    controller, own = pty.openpty()
    with tempfile.TemporaryDirectory(prefix="membench-test-") as folder, ExitStack() as stack:
        stack.callback(os.close, controller)
        files = {name: Path(folder, name) for name in STREAMS if name not in streams}
        opened = {name: stack.enter_context(path.open("w+b")) for name, path in files.items()}
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            **{name: opened.get(name, own) for name in STREAMS},
            env=environment() | {"COLUMNS": str(columns), "LINES": "24", "TERM": "xterm"},
        )
        os.close(own)
        try:
            yield Terminal(process, controller, files)
        finally:
            process.kill()
            process.wait(DEADLINE)
