"""`python -m membench …` as a process: its exit code, its JSON, and what it told the user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import proc
from support.waiting import DEADLINE, PATIENCE, until

COMMAND = (sys.executable, "-m", "membench")
#: How many BPF programs a recording has attached at least: one for receives, one for sends.
LINKS = 2
#: Last words about the recording in what a recorder says when it has started; the guards follow.
STARTED = "keyed ids"
#: On an emulated machine a recorder needs all of a CPU, and must not be ended for it.
SLOW = () if PATIENCE == 1 else ("--max-cpu", "none")


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Its standard output, which must be one JSON value."""
        return json.loads(self.stdout)

    def expect(self, code: int = 0) -> Completed:
        """Itself, if it ended with `code`."""
        assert self.code == code, (
            f"exit code {self.code}, expected {code}\n{self.stdout}\n{self.stderr}"
        )
        return self


def environment() -> dict[str, str]:
    """The environment of a command: without colour, of a fixed width."""
    return os.environ | {"NO_COLOR": "1", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}


def membench(
    *arguments: str | Path, prefix: Sequence[str] = (), timeout: float = DEADLINE
) -> Completed:
    """Run a command to its end."""
    command = [*prefix, *COMMAND, *map(str, arguments)]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(),
        check=False,
    )
    return Completed(ended.returncode, ended.stdout, ended.stderr)


def read_info(profile: Path) -> Any:  # noqa: ANN401 - any JSON
    """Return what `membench info --format json` says of a profile."""
    return membench("info", profile, "--format", "json").expect(0).json


def read_ledger(profile: Path) -> Any:  # noqa: ANN401 - any JSON
    """Return a profile's ledger, as `membench info` says it."""
    return read_info(profile)["ledger"]


class Recorder:
    """`membench record` while it runs."""

    def __init__(
        self,
        output: Path,
        ports: Sequence[int],
        *options: str,
        prefix: Sequence[str] = (),
        source: str = "ebpf:any",
    ) -> None:
        """Start it; it may not be attached yet."""
        self.output = output
        # An interface takes one, or none that is a link.
        self._links = LINKS if source == "ebpf:any" else 0
        self._folder = tempfile.TemporaryDirectory(prefix="membench-test-")
        self._streams = {name: Path(self._folder.name) / name for name in ("stdout", "stderr")}
        selected = [word for port in ports for word in ("--port", str(port))]
        command = [
            *prefix,
            *COMMAND,
            "record",
            source,
            str(output),
            *selected,
            "--format",
            "json",
            # A test's clients would leave it no CPU, and other tests little.
            "--nice",
            "0",
            "--ring-size",
            "64M",
            *SLOW,
            *options,
        ]
        with (
            self._streams["stdout"].open("w") as stdout,
            self._streams["stderr"].open("w") as stderr,
        ):
            self.process = subprocess.Popen(
                command, stdout=stdout, stderr=stderr, env=environment()
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def stderr_text(self) -> str:
        """What it has written to its standard error so far."""
        return self._streams["stderr"].read_text()

    def links(self) -> int:
        """How many BPF programs it has attached, as the kernel says."""
        return sum("link_type:" in text for text in proc.descriptors(self.pid))

    def tracepoints(self) -> set[str]:
        """The tracepoints its programs are attached to, as the kernel says."""
        lines = (line for text in proc.descriptors(self.pid) for line in text.splitlines())
        return {line.split()[1] for line in lines if line.startswith("tp_name:")}

    def attached(self) -> Recorder:
        """Itself, once it has attached and given up its privileges; fails if it ends before."""
        until(
            lambda: self.process.poll() is not None or self._recording(),
            "the recorder attaching",
        )
        assert self.process.poll() is None, (
            f"the recorder ended with {self.process.returncode}: {self.stderr_text()}"
        )
        return self

    def _recording(self) -> bool:
        return self.links() >= self._links and capabilities(self.pid) == {}

    def ready(self) -> Recorder:
        """Itself, once it has attached and said that it records: Ctrl-C now ends and seals it."""
        self.attached()
        until(lambda: self.process.poll() is not None or self._has_said_all(), "its first words")
        return self

    def _has_said_all(self) -> bool:
        said = self.stderr_text()
        return STARTED in said and said.endswith("\n")

    def wait(self, timeout: float = DEADLINE) -> Completed:
        """Let it end by itself."""
        code = self.process.wait(timeout)
        return Completed(code, self._streams["stdout"].read_text(), self.stderr_text())

    def stop(self, with_signal: signal.Signals = signal.SIGINT) -> Completed:
        """End it as a user would: Ctrl-C."""
        self.process.send_signal(with_signal)
        return self.wait()

    def freeze(self) -> None:
        """Stop it where it is (SIGSTOP); it has stopped when this returns."""
        proc.stop(self.pid)

    def thaw(self) -> None:
        """Let it continue (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def discard(self) -> None:
        """End it if it still runs, and drop what it said."""
        if self.process.poll() is None:
            self.thaw()
            self.kill()
        self._folder.cleanup()


def capabilities(pid: int) -> dict[str, int]:
    """Every capability set of every thread that holds something: `task/name` → bits."""
    sets = {}
    for thread, text in proc.tasks(pid, "status").items():
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                sets[f"{thread}/{name}"] = int(value, 16)
    return {name: bits for name, bits in sets.items() if bits}


@contextmanager
def starting(
    output: Path,
    ports: Sequence[int],
    *options: str,
    prefix: Sequence[str] = (),
    source: str = "ebpf:any",
) -> Iterator[Recorder]:
    """A recorder that has just been started, gone when the block ends."""
    running = Recorder(output, ports, *options, prefix=prefix, source=source)
    try:
        yield running
    finally:
        running.discard()


@contextmanager
def recorder(
    output: Path,
    ports: Sequence[int],
    *options: str,
    prefix: Sequence[str] = (),
    source: str = "ebpf:any",
) -> Iterator[Recorder]:
    """A recorder at work, gone when the block ends."""
    with starting(output, ports, *options, prefix=prefix, source=source) as running:
        yield running.ready()
