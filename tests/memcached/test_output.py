"""Output that cannot be written: data is an error, a remark is left out and ends nothing."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cli import COMMAND, read_info
from support.server import Memcached, memcached
from support.waiting import DEADLINE

pytestmark = pytest.mark.memcached

SEALED = Path(__file__).parents[1] / "data" / "sealed"
UNWRITABLE = ("a full disk", "a pipe without a reader", "closed")


@contextmanager
def unwritable(kind: str) -> Iterator[int | None]:
    """Open a stream that takes nothing; None stands for one that is closed."""
    if kind == "closed":
        yield None
        return
    if kind == "a full disk":
        stream = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stream = os.pipe()
        os.close(reader)
    try:
        yield stream
    finally:
        os.close(stream)


def run(*arguments: str | Path, name: str, stream: int | None) -> subprocess.CompletedProcess[str]:
    """Run a command one of whose streams takes nothing, and keep the other."""
    command = [*COMMAND, *map(str, arguments)]
    if stream is None:
        closing = 'exec "$@" 2>&-' if name == "stderr" else 'exec "$@" >&-'
        command = ["sh", "-c", closing, "sh", *command]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams |= {} if stream is None else {name: stream}
    return subprocess.run(
        command,
        stdout=streams["stdout"],
        stderr=streams["stderr"],
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_a_status_line_that_cannot_be_written_does_not_end_a_recording(
    kind: str, roomy: Memcached, output: Path
) -> None:
    source = ("record", f"watch:{roomy.address}", output, "--duration", "1.5")
    with unwritable(kind) as stream:
        ended = run(*source, name="stderr", stream=stream)
    assert ended.returncode == 0
    assert str(output) in ended.stdout
    info = read_info(output)
    assert (info["state"], info["stopped_by"]) == ("sealed", "duration")
    assert info["duration_s"] >= 1.4


def test_a_terminal_that_goes_away_does_not_end_a_recording(roomy: Memcached, output: Path) -> None:
    controller, terminal = pty.openpty()
    command = [*COMMAND, "record", f"watch:{roomy.address}", str(output), "--duration", "3"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    assert os.read(controller, 1)  # it has begun to talk
    os.close(controller)
    summary, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert str(output).encode() in summary
    assert read_info(output)["stopped_by"] == "duration"


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_progress_that_cannot_be_written_does_not_end_a_replay(kind: str) -> None:
    with memcached() as target, unwritable(kind) as stream:
        ended = run("replay", SEALED, target.address, name="stderr", stream=stream)
    assert ended.returncode in {0, 4}  # a busy machine may not hold the timing
    assert "requests" in ended.stdout


def test_a_profile_is_whole_though_its_summary_cannot_be_written(
    roomy: Memcached, output: Path
) -> None:
    source = ("record", f"watch:{roomy.address}", output, "--duration", "1")
    with unwritable("a full disk") as stream:
        ended = run(*source, name="stdout", stream=stream)
    assert ended.returncode == 1
    assert "error: cannot write the output: No space left on device" in ended.stderr
    assert "internal error" not in ended.stderr
    assert read_info(output)["stopped_by"] == "duration"


DATA = [
    ("--help",),
    ("--version",),
    ("info", "--help"),
    ("info", SEALED),
    ("info", SEALED, "--format", "json"),
    ("analyze", SEALED),
]


@pytest.mark.parametrize("arguments", DATA, ids=lambda value: " ".join(map(str, value[:1])))
def test_a_full_disk_behind_stdout_is_one_error(arguments: tuple[str | Path, ...]) -> None:
    with unwritable("a full disk") as stream:
        ended = run(*arguments, name="stdout", stream=stream)
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: cannot write the output: No space left on device\n\n"
        "hint: free some space, or write it elsewhere\n"
    )


@pytest.mark.parametrize("arguments", DATA, ids=lambda value: " ".join(map(str, value[:1])))
def test_a_pipe_without_a_reader_ends_quietly(arguments: tuple[str | Path, ...]) -> None:
    with unwritable("a pipe without a reader") as stream:
        ended = run(*arguments, name="stdout", stream=stream)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_characters_that_the_output_lacks_are_escaped() -> None:
    command = [*COMMAND, "analyze", str(SEALED)]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, capture_output=True, env=ascii_only, check=True)
    assert b"\\u2588" in ended.stdout
    assert ended.stdout.isascii()


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_an_error_that_cannot_be_told_keeps_its_exit_code(kind: str) -> None:
    with unwritable(kind) as stream:
        ended = run("info", "/nonexist.mb", name="stderr", stream=stream)
    assert (ended.returncode, ended.stdout) == (2, "")
