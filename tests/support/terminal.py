"""`python -m membench …` on a terminal of its own: what a person sees there, and types."""

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
    """A command, and the terminal that some of its streams are; the others are files."""

    def __init__(
        self, process: subprocess.Popen[bytes], controller: int, files: dict[str, Path]
    ) -> None:
        """Of a command that has just begun."""
        self.process = process
        self._controller = controller
        self._files = files
        self._screen = b""

    def screen(self) -> bytes:
        """Everything that was shown so far."""
        with suppress(OSError):  # the other side has hung up
            while select.select([self._controller], [], [], 0)[0]:
                self._screen += os.read(self._controller, 65536)
        return self._screen

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._controller, keys)

    def said(self, stream: str) -> str:
        """What it has written to a stream that is no terminal."""
        return self._files[stream].read_text()

    def ended(self) -> bool:
        """Whether it has ended; what it shows is taken meanwhile, so that it can."""
        self.screen()
        return self.process.poll() is not None


@contextmanager
def terminal(
    *arguments: str | Path, streams: Sequence[str], columns: int = 100
) -> Iterator[Terminal]:
    """A command at work, gone when the block ends; `streams` are the terminal."""
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
