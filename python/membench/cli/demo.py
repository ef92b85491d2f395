"""`membench demo`: nothing → the main job on a private memcached, command by command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from membench.cli import output

if TYPE_CHECKING:
    import subprocess

FAILED = 1
DATA_LOST = 4
_PROFILE = "demo.mb"


def command(
    keep: Annotated[
        Path | None, typer.Option(help="Existing folder to keep the profile in.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long the workload lasts.")] = 5.0,
) -> int:
    """Record, analyze and replay a private memcached.

    Shows each command as you would type it.

    \b
    Example: sudo python -m membench demo
    """  # noqa: D301 - `\b` keeps the example on its line
    with _working_folder(keep) as folder:
        code = _record(folder, seconds)
        if code:
            return _explain_skip(code)
        for arguments in (["info", _PROFILE], ["analyze", _PROFILE]):
            if code := _run(arguments, folder):
                return code
        return _replay(folder)


@contextmanager
def _working_folder(keep: Path | None) -> Iterator[Path]:
    import tempfile

    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="membench-demo-") as folder:
        yield Path(folder)


def _record(folder: Path, seconds: float) -> int:
    """Record the workload; the recorder's first line says that it is attached."""
    from membench._demo.server import private_memcached
    from membench._demo.workload import Load, run

    with private_memcached() as port:
        load = Load(duration_s=seconds)
        output.say(
            f"a private memcached on port {port}; its workload: {load.connections} connections, "
            f"{load.requests_per_s:,.0f} requests/s for {seconds:g} s\n"
        )
        recorder = _start(["record", "ebpf:any", _PROFILE, "--port", str(port)], folder)
        if _echo_first_line(recorder):
            run(port, load)
            recorder.send_signal(signal.SIGINT)
        for line in recorder.stderr or ():
            output.say(line.rstrip("\n"))
        return recorder.wait()


def _replay(folder: Path) -> int:
    """Replay onto a fresh server; timing that this machine could not hold is no failure here."""
    from membench._demo.server import private_memcached

    with private_memcached() as port:
        target = f"127.0.0.1:{port}"
        code = _run(["replay", _PROFILE, target, "--warm", "--check", "errors<=0"], folder)
    if code == DATA_LOST:
        output.say("\nthe replay ran; this machine was too busy to hold the recorded timing")
        return 0
    return code


def _start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    import subprocess

    _show_command(arguments)
    return subprocess.Popen(
        [sys.executable, "-m", "membench", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(arguments: list[str], folder: Path) -> int:
    import subprocess

    _show_command(arguments)
    return subprocess.run(
        [sys.executable, "-m", "membench", *arguments], cwd=folder, check=False
    ).returncode


def _echo_first_line(recorder: subprocess.Popen[str]) -> bool:
    line = recorder.stderr.readline() if recorder.stderr else ""
    output.say(line.rstrip("\n"))
    return line.startswith(("recording", "waiting"))


def _show_command(arguments: list[str]) -> None:
    import shlex

    output.say(f"\n$ {output.program()} {shlex.join(arguments)}")


def _explain_skip(code: int) -> int:
    output.say(
        "\nskipped: info, analyze and replay, for there is no complete recording; "
        f"`{output.program()} doctor` shows what works here"
    )
    return code
