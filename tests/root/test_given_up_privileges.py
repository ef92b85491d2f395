"""`probe`, `trace` and `observe` have privileges while they attach, and go on without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import proc
from support.cli import COMMAND, environment
from support.kernel import release
from support.process import started
from support.server import Memcached
from support.waiting import until

pytestmark = [pytest.mark.root]

PTRACE, SYSLOG, BPF, RESTORE = 19, 34, 39, 40
#: Maps that are open are read with a capability before this kernel.
READ_WITHOUT = (5, 19)
CALLER = """
import os, sys, time
while True:
    os.getppid()
    time.sleep(0.002)
"""


@contextmanager
def caller() -> Iterator[subprocess.Popen[str]]:
    """Start a process that makes a call again and again."""
    with started([sys.executable, "-c", CALLER]) as process:
        yield process


def wait_for_calls(pid: int) -> None:
    """Wait until a caller has slept a few times more, and so has called."""

    def slept() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])

    before = slept()
    until(lambda: slept() > before + 3, "calls")


def ticks(pid: int) -> int:
    """Return the CPU time of a process, ticks."""
    fields = proc.stat(Path(f"/proc/{pid}/stat").read_text())
    return int(fields[11]) + int(fields[12])


@contextmanager
def running(*arguments: str, begun: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command; wait until it tells that it has begun."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started([*COMMAND, *arguments], env=environment(), **pipes) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert begun in line, line + process.stderr.read()
        yield process


def ended(process: subprocess.Popen[str]) -> str:
    """End it by Ctrl-C; return what it printed."""
    process.send_signal(signal.SIGINT)
    told, remarks = process.communicate()
    assert process.returncode == 0, remarks
    return told


def assert_given_up(pid: int, kept: Sequence[int] = ()) -> None:
    """Every thread has these capabilities alone, and can gain none."""
    allowed = sum(1 << number for number in kept)
    if release() < READ_WITHOUT:
        allowed |= 1 << BPF
    for thread in Path(f"/proc/{pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines())
        assert int(status["CapPrm"], 16) == int(status["CapEff"], 16), status
        assert int(status["CapPrm"], 16) & ~allowed == 0, status
        for name in ("CapInh", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, status
        assert status["NoNewPrivs"] == "1"


@pytest.mark.kernel
@pytest.mark.quick
@pytest.mark.skipif(release() < (5, 12), reason="traces take Linux 5.12")
def test_a_trace_goes_on_without_privileges_and_writes_its_files(tmp_path: Path) -> None:
    lines, timeline = tmp_path / "calls", tmp_path / "timeline"
    with caller() as traced:
        arguments = ("trace", "--pid", str(traced.pid), "-e", "getppid")
        files = ("-o", str(lines), "--perfetto", str(timeline))
        with running(*arguments, *files, begun="tracing") as process:
            assert_given_up(process.pid)
            before = lines.stat().st_size
            until(lambda: lines.stat().st_size > before + 200, "lines after privileges are gone")
            ended(process)
    assert "getppid()" in lines.read_text()
    assert timeline.stat().st_size > 200


def test_the_last_seconds_are_printed_without_privileges(tmp_path: Path) -> None:
    lines = tmp_path / "calls"
    with caller() as traced:
        arguments = ("trace", "--pid", str(traced.pid), "-e", "getppid", "--last", "1h")
        with running(*arguments, "-o", str(lines), begun="tracing") as process:
            assert_given_up(process.pid)

            def is_printed() -> bool:
                process.send_signal(signal.SIGUSR1)
                return lines.stat().st_size > 200

            until(is_printed, "the lines that were kept")
            ended(process)


def test_names_of_descriptors_take_one_capability() -> None:
    with caller() as traced:
        arguments = ("trace", "--pid", str(traced.pid), "-y", "-c")
        with running(*arguments, begun="tracing") as process:
            assert_given_up(process.pid, [PTRACE])
            wait_for_calls(traced.pid)
            ended(process)


def test_totals_are_read_without_privileges() -> None:
    with caller() as traced:
        arguments = ("trace", "--pid", str(traced.pid), "-e", "getppid", "-c")
        with running(*arguments, begun="tracing") as process:
            assert_given_up(process.pid)
            wait_for_calls(traced.pid)
            assert "getppid" in ended(process)


@pytest.mark.kernel
@pytest.mark.quick
def test_a_probe_counts_on_without_privileges() -> None:
    with caller() as traced:
        arguments = ("probe", "tp_btf:sys_enter", "--pid", str(traced.pid), "--by", "process")
        with running(*arguments, begun="observed") as process:
            assert_given_up(process.pid)
            wait_for_calls(traced.pid)
            told = ended(process)
    assert f"{traced.pid}" in told


@pytest.mark.memcached
@pytest.mark.skipif(release() < (6, 3), reason="observing requests takes Linux 6.3")
def test_requests_are_observed_without_privileges(server: Memcached) -> None:
    arguments = ("observe", "--requests", "--port", str(server.port))
    with running(*arguments, begun="observed") as process:
        assert_given_up(process.pid, [PTRACE])
        told = ended(process)
    assert f"port {server.port}" in told
    assert "error" not in told


def test_frames_of_other_users_have_names_by_the_capabilities_that_are_kept(
    tmp_path: Path,
) -> None:
    drawn = tmp_path / "stacks.folded"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/env"]
    script = "while :; do read -r line </proc/self/stat; done"
    with started([*nobody, "bash", "-c", script]) as traced:
        arguments = ("probe", "tp_btf:sys_enter", "--pid", str(traced.pid), "--max-cost", "none")
        with running(*arguments, "--flame", str(drawn), begun="observed") as process:
            assert_given_up(process.pid, [PTRACE, SYSLOG, RESTORE])
            before = ticks(traced.pid)
            until(lambda: ticks(traced.pid) > before + 3, "the reader running")
            ended(process)
    folded = drawn.read_text()
    assert "bash;" in folded
    assert "_[k]" in folded
    # Both parts of a stack have names, not only addresses.
    assert any(
        frame.isidentifier() for line in folded.splitlines() for frame in line.split(";")[1:]
    )


def test_files_belong_to_the_user_who_called_sudo(tmp_path: Path) -> None:
    lines = tmp_path / "calls"
    command = [*COMMAND, "trace", "--pid", str(os.getpid()), "-d", "100ms", "-o", str(lines)]
    who = {"SUDO_UID": "65534", "SUDO_GID": "65534"}
    subprocess.run(command, env=environment() | who, check=True, capture_output=True)
    found = lines.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (65534, 65534, 0o600)


def test_a_link_is_not_followed_for_root(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("kept")
    link.symlink_to(target)
    command = [*COMMAND, "trace", "--pid", str(os.getpid()), "-d", "100ms", "-o", str(link)]
    done = subprocess.run([*command, "--force"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert target.read_text() == "kept"


def test_only_files_of_root_and_of_the_user_who_called_sudo_are_replaced(tmp_path: Path) -> None:
    lines = tmp_path / "calls"
    lines.write_text("kept")
    command = [*COMMAND, "trace", "--pid", str(os.getpid()), "-d", "100ms", "-o", str(lines)]
    os.chown(lines, 65533, 65533)
    who = environment() | {"SUDO_UID": "65534", "SUDO_GID": "65534"}
    done = subprocess.run(
        [*command, "--force"], env=who, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "belongs to another user" in done.stderr
    assert lines.read_text() == "kept"
    os.chown(lines, 65534, 65534)
    subprocess.run([*command, "--force"], env=who, check=True, capture_output=True)
    assert lines.stat().st_mode & 0o777 == 0o600
    assert lines.read_text() != "kept"


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("probe", "tp_btf:no_such"), "--flame"),
        (("trace", "--pid", "4194304"), "-o"),
        (("trace", "--pid", "4194304"), "--perfetto"),
    ],
)
def test_a_command_that_does_not_begin_leaves_the_file_that_it_was_to_replace(
    arguments: tuple[str, ...], output: str, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.write_text("kept")
    command = [*COMMAND, *arguments, output, str(old), "--force"]
    done = subprocess.run(command, env=environment(), check=False, capture_output=True)
    assert done.returncode not in {0, 4}
    assert old.read_text() == "kept"


@pytest.mark.parametrize(
    "call",
    [
        "membench.trace('getppid', pids=[os.getppid()], drop_privileges=True)",
        "membench.probe('tp_btf:sys_enter', pids=[os.getppid()], drop_privileges=True)",
    ],
)
def test_python_gives_them_up_when_asked_to(call: str) -> None:
    code = (
        "import json, os, pathlib, membench\n"
        f"with {call} as running:\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    running.stop()\n"
        "lines = (line.split(':\\t', 1) for line in status.splitlines())\n"
        "print(json.dumps(dict(lines)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    status = json.loads(done.stdout)
    allowed = 1 << BPF if release() < READ_WITHOUT else 0
    assert int(status["CapEff"], 16) & ~allowed == 0
    assert status["NoNewPrivs"] == "1"
