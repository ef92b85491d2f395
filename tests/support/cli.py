"""`python -m membench …` as a process: its exit code, its JSON, and its messages."""

from __future__ import annotations

import contextlib
import io
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

from membench import cli
from support import proc
from support.waiting import DEADLINE, PATIENCE, until

COMMAND = (sys.executable, "-m", "membench")
#: Least number of BPF programs that a recording attaches: one for receives, one for sends.
LINKS = 2
#: Part of the message that a recorder prints in one piece when it has started.
STARTED = "keyed ids"
#: Options for an emulated machine, where a recorder may need a whole CPU.
SLOW = () if PATIENCE == 1 else ("--max-cpu", "none")


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Standard output, parsed; it must be one JSON value."""
        return json.loads(self.stdout)

    def expect(self, code: int = 0) -> Completed:
        """Fail unless the exit code is `code`; return self."""
        assert self.code == code, (
            f"exit code {self.code}, expected {code}\n{self.stdout}\n{self.stderr}"
        )
        return self


def environment() -> dict[str, str]:
    """Return the environment for commands: no colour, a fixed width."""
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


def says_started(text: str) -> bool:
    """Return true if a recorder's message about its start is in `text`, complete."""
    return STARTED in " ".join(text.split()) and text.endswith("\n")


def read_info(profile: Path) -> Any:  # noqa: ANN401 - any JSON
    """Return what `membench info --format json` says of a profile, without a process of its own."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = cli.main(["info", str(profile), "--format", "json"])
    assert code == 0, profile
    return json.loads(printed.getvalue())


def read_ledger(profile: Path) -> Any:  # noqa: ANN401 - any JSON
    """Return a profile's ledger, as `membench info` says it."""
    return read_info(profile)["ledger"]


class Recorder:
    """`membench record` while it runs."""

    def __init__(
        self,
        output: Path,
        ports: Sequence[int | str],
        *options: str,
        prefix: Sequence[str] = (),
        source: str = "ebpf:any",
    ) -> None:
        """Start the process; it may not be attached yet."""
        self.output = output
        # The clsact hooks are no links, so an interface may show none.
        self._links = LINKS if source == "ebpf:any" else 0
        self._folder = tempfile.TemporaryDirectory(prefix="membench-test-")
        self._streams = {name: Path(self._folder.name) / name for name in ("stdout", "stderr")}
        # At the sockets, each of two rings holds the largest workload, 50 MB: nothing is lost if
        # the recorder gets no CPU for a while. Rings for whole packets are eight times as large.
        ring_size = "128M" if source == "ebpf:any" else "64M"
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
            # A yielding recorder would starve: the clients and other tests take every CPU.
            "--nice",
            "0",
            "--ring-size",
            ring_size,
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
        """Process id of the recorder, or of the prefix that runs it."""
        return self.process.pid

    def stderr_text(self) -> str:
        """Return everything written to standard error so far."""
        return self._streams["stderr"].read_text()

    def links(self) -> int:
        """Return the number of BPF links it holds, as the kernel says."""
        return sum("link_type:" in text for text in proc.descriptors(self.pid))

    def tracepoints(self) -> set[str]:
        """Return the tracepoints its programs are attached to, as the kernel says."""
        lines = (line for text in proc.descriptors(self.pid) for line in text.splitlines())
        return {line.split()[1] for line in lines if line.startswith("tp_name:")}

    def attached(self) -> Recorder:
        """Wait until it has attached and given up its privileges; return self. Fail if it ends."""
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
        """Wait until it says that it records, so that Ctrl-C ends and seals it; return self."""
        self.attached()
        until(lambda: self.process.poll() is not None or self.has_started(), "its first words")
        return self

    def has_started(self) -> bool:
        """Return true once it has said that it records."""
        return says_started(self.stderr_text())

    def wait(self, timeout: float = DEADLINE) -> Completed:
        """Wait for the recorder to end by itself."""
        code = self.process.wait(timeout)
        return Completed(code, self._streams["stdout"].read_text(), self.stderr_text())

    def stop(self, with_signal: signal.Signals = signal.SIGINT) -> Completed:
        """End the recorder as a user would, with Ctrl-C."""
        self.process.send_signal(with_signal)
        return self.wait()

    def freeze(self) -> None:
        """Stop every thread (SIGSTOP); all have stopped when this returns."""
        proc.stop(self.pid)

    def thaw(self) -> None:
        """Continue after `freeze` (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the recorder, without a chance to clean up."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def discard(self) -> None:
        """Kill the recorder if it still runs, and remove its output."""
        if self.process.poll() is None:
            self.thaw()
            self.kill()
        self._folder.cleanup()


def capabilities(pid: int) -> dict[str, int]:
    """Return the capability sets that are not empty, of every thread: `thread/name` → bits."""
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
    ports: Sequence[int | str],
    *options: str,
    prefix: Sequence[str] = (),
    source: str = "ebpf:any",
) -> Iterator[Recorder]:
    """Start a recorder, which may not be attached yet; kill it when the block ends."""
    running = Recorder(output, ports, *options, prefix=prefix, source=source)
    try:
        yield running
    finally:
        running.discard()


@contextmanager
def recorder(
    output: Path,
    ports: Sequence[int | str],
    *options: str,
    prefix: Sequence[str] = (),
    source: str = "ebpf:any",
) -> Iterator[Recorder]:
    """Start a recorder and wait until it records; kill it when the block ends."""
    with starting(output, ports, *options, prefix=prefix, source=source) as running:
        yield running.ready()
