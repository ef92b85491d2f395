"""`membench trace`: what it shows of a process, what it leaves out, and how it ends."""

# Notes have signs that look like letters.
# ruff: noqa: RUF001

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import membench
from membench.errors import CaptureUnavailableError, UsageError
from support.kernel import release
from support.kernel_objects import kernel_objects_of, wait_until_gone
from support.least import with_capabilities
from support.process import started
from support.server import Memcached, connect, memcached
from support.timeline import decoded, slices, tracks
from support.waiting import let_pass, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(release() < (5, 12), reason="traces take Linux 5.12"),
]

IDENTITY = re.compile(r"([\d,]+) calls made = ([\d,]+) shown \+ ([\d,]+) lost \+ ([\d,]+) skipped")
#: A process that makes as many calls as it is told to, and ends.
CALLER = """
import os, sys
for line in sys.stdin:
    if line == "end\\n":
        break
    for turn in range(int(line)):
        os.getppid()
        os.sched_yield()
        try:
            os.close(999)
        except OSError:
            pass
    os.write(1, b"made\\n")
"""


@contextmanager
def caller() -> Iterator[subprocess.Popen[str]]:
    """Start the process that makes calls."""
    with started(
        [sys.executable, "-c", CALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        make(process, 1)
        yield process


def make(process: subprocess.Popen[str], calls: int) -> None:
    """Have it make each of its calls so often."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{calls}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "made\n"


def exchange(port: int, *requests: bytes) -> None:
    """Send requests over one connection, each after the whole answer to the one before."""
    with connect(port) as client:
        for request in requests:
            client.sendall(request)
            answer, answers = b"", request.count(b"get ") + request.count(b"set ")
            while answer.count(b"END\r\n") + answer.count(b"STORED\r\n") < answers:
                answer += client.recv(65536)


class Running:
    """A `membench trace` that runs, with what it wrote."""

    def __init__(self, process: subprocess.Popen[str], output: Path, remarks: Path) -> None:
        """Take over a process."""
        self.process = process
        self._output = output
        self._remarks = remarks

    @property
    def lines(self) -> list[str]:
        """The lines so far."""
        return self._output.read_text().splitlines()

    @property
    def remarks(self) -> str:
        """Everything else that it said."""
        return self._remarks.read_text()

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it a signal, and wait for its end."""
        self.process.send_signal(number)
        return self.process.wait()

    def identity(self) -> list[int]:
        """Return the numbers of calls made, shown, lost and skipped."""
        found = IDENTITY.search(self.remarks)
        assert found, self.remarks
        numbers = [int(text.replace(",", "")) for text in found.groups()]
        assert numbers[0] == sum(numbers[1:]), self.remarks
        return numbers


@contextmanager
def tracing(folder: Path, *arguments: str | int, prefix: Sequence[str] = ()) -> Iterator[Running]:
    """Start `membench trace`, and wait until it has begun."""
    output, remarks = folder / "lines", folder / "remarks"
    command = [*prefix, sys.executable, "-m", "membench", "trace", *map(str, arguments)]
    with (
        output.open("w") as lines,
        remarks.open("w") as errors,
        started(command, stdout=lines, stderr=errors) as process,
    ):
        running = Running(process, output, remarks)
        until(lambda: "tracing" in running.remarks or process.poll() is not None, "a trace")
        yield running


def names(lines: Sequence[str]) -> Counter[str]:
    """Count the calls in lines."""
    found = (re.match(r"\[pid \d+\] (?:[\d:.]+ )?(\w+)\(", line) for line in lines)
    return Counter(match[1] for match in found if match)


@pytest.mark.kernel
@pytest.mark.quick
def test_only_the_named_calls_of_the_process_are_shown(tmp_path: Path) -> None:
    with caller() as traced, caller() as other:
        with tracing(tmp_path, "--pid", traced.pid, "-e", "getppid,close") as running:
            make(traced, 50)
            make(other, 50)
            assert running.end() == 0
        assert names(running.lines) == {"getppid": 50, "close": 50}
        line = next(line for line in running.lines if "close(" in line)
        assert re.match(
            rf"\[pid {traced.pid}\] close\(999\) +"
            r"= -1 EBADF \(Bad file descriptor\)$",
            line,
        )
        assert running.identity() == [100, 100, 0, 0]


def test_read_is_number_0_and_can_be_named(tmp_path: Path) -> None:
    with caller() as traced:
        with tracing(tmp_path, "--pid", traced.pid, "-e", "read", "-T", "-tt") as running:
            make(traced, 3)
            assert running.end() == 0
        # The read that was in progress at the start has no time, the one at the end no result.
        first, last = running.lines
        assert re.search(r" \d\d:\d\d:\d\d\.\d{6} read\(0, \d+\) += 2 <\?>$", first)
        assert re.search(r" read\(0, \d+, <unfinished \.\.\.>$", last)
        assert running.identity() == [2, 2, 0, 0]


@pytest.mark.kernel
def test_failed_or_successful_calls_are_chosen_in_the_kernel(tmp_path: Path) -> None:
    for option, shown in (("-Z", {"close": 20}), ("-z", {"getppid": 20})):
        with caller() as traced:
            calls = ("--pid", traced.pid, "-e", "close,getppid")
            with tracing(tmp_path, *calls, option) as running:
                make(traced, 20)
                assert running.end() == 0
            assert names(running.lines) == shown
            assert running.identity() == [40, 20, 0, 20]


@pytest.mark.kernel
def test_totals_are_those_of_the_calls(tmp_path: Path) -> None:
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "close,getppid,sched_yield", "-c")
        with tracing(tmp_path, *calls) as running:
            make(traced, 1000)
            assert running.end() == 0
        rows = {line.split()[-1]: line.split() for line in running.lines[2:]}
        assert rows["close"][4:6] == ["1000", "1000"]
        assert rows["getppid"][4] == rows["sched_yield"][4] == "1000"
        assert rows["total"][4:6] == ["3000", "1000"]
        assert running.identity() == [3000, 3000, 0, 0]


def test_calls_that_a_full_ring_does_not_take_are_counted(tmp_path: Path) -> None:
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "getppid,close", "--ring-size", "64K")
        with tracing(tmp_path, *calls) as running:
            running.process.send_signal(signal.SIGSTOP)
            make(traced, 20_000)
            running.process.send_signal(signal.SIGCONT)
            assert running.end() == 4
        made, shown, lost, skipped = running.identity()
        assert (made, skipped) == (40_000, 0)
        assert lost > 0
        assert names(running.lines).total() == shown
        assert "did not fit into the ring" in running.remarks


@pytest.mark.kernel
@pytest.mark.quick
def test_calls_carry_the_connection_and_the_commands(server: Memcached, tmp_path: Path) -> None:
    assert server.port is not None
    with tracing(tmp_path, "--port", server.port, "-y", "-T") as running:
        exchange(
            server.port,
            b"set colour 0 0 4\r\nblue\r\n",
            b"get colour\r\nget other\r\nget colour\r\n",
        )
        until(lambda: any("close(" in line for line in running.lines), "the connection's end")
        assert running.end() == 0
    text = "\n".join(running.lines)
    address = rf"\d+<tcp:127\.0\.0\.1:{server.port}->127\.0\.0\.1:\d+>"
    assert re.search(rf"read\({address}, \d+\) += 24 <[\d.]+>  # conn 1: set ×1 \(key 6 B", text)
    assert "# conn 1: get ×3 (key 5–6 B)" in text
    # Newer memcacheds answer with one call what one read asked for.
    counts = {word: re.findall(rf"\b{word} ×(\d+)", text) for word in ("VALUE", "END")}
    assert {word: sum(map(int, found)) for word, found in counts.items()} == {"VALUE": 2, "END": 3}
    assert re.search(r"# conn 1: VALUE ×\d \(key 6 B, value 4 B\), END ×\d", text)
    assert "colour" not in text
    assert "blue" not in text
    running.identity()


def test_a_memcached_named_by_its_process_shows_all_its_calls_and_the_commands_in_them(
    server: Memcached, tmp_path: Path
) -> None:
    assert server.port is not None
    with tracing(tmp_path, "--pid", server.pid) as running:
        exchange(server.port, b"get a\r\nget b\r\n")
        until(lambda: any("close(" in line for line in running.lines), "the connection's end")
        assert running.end() == 0
    assert any("read(" in line and "# conn 1: get ×2 (key 1 B)" in line for line in running.lines)
    assert names(running.lines)["epoll_wait"] > 0
    running.identity()


def test_calls_on_other_descriptors_are_left_out(server: Memcached, tmp_path: Path) -> None:
    assert server.port is not None
    with memcached() as other, caller() as traced:
        assert other.port is not None
        with tracing(
            tmp_path, "--pid", server.pid, "--port", other.port, "-e", "read,sendmsg"
        ) as running:
            exchange(server.port, b"get a\r\n")
            assert running.end() == 0
        del traced
    assert names(running.lines) == {}
    assert running.identity()[3] > 0


def test_a_client_is_followed_by_the_remote_port(server: Memcached, tmp_path: Path) -> None:
    assert server.port is not None
    calls = ("--pid", os.getpid(), "--port", server.port, "-e", "sendto,recvfrom")
    with tracing(tmp_path, *calls) as running:
        exchange(server.port, b"get a\r\n")
        assert running.end() == 0
    assert any("sendto(" in line and "get ×1 (key 1 B)" in line for line in running.lines)
    assert any("recvfrom(" in line and "END ×1" in line for line in running.lines)


def test_json_lines_have_the_documented_members(server: Memcached, tmp_path: Path) -> None:
    assert server.port is not None
    with tracing(tmp_path, "--port", server.port, "--format", "json") as running:
        exchange(server.port, b"get a\r\n")
        until(lambda: any('"close"' in line for line in running.lines), "the connection's end")
        assert running.end() == 0
    calls = [json.loads(line) for line in running.lines]
    for call in calls:
        assert call.keys() >= {
            "call",
            "pid",
            "tid",
            "args",
            "result",
            "error",
            "time_ns",
            "duration_ns",
        }
    (read,) = [call for call in calls if call["call"] == "read" and call["result"] == 7]
    assert read["connection"] == 1
    assert read["commands"] == [{"command": "get", "count": 1, "keys": 1, "key_size": [1, 1]}]


def test_python_yields_calls(server: Memcached) -> None:
    assert server.port is not None
    with membench.trace("read,sendmsg", ports=[server.port]) as trace:
        assert trace.pids == (server.pid,)
        exchange(server.port, b"get a\r\n")
        for call in trace:
            if call.call == "sendmsg":
                break
        trace.stop()
        rest = list(trace)
    assert call.commands is not None
    assert [one.command for one in call.commands] == ["END"]
    assert call.duration_ns is not None
    tally = trace.tally()
    assert tally.made == tally.shown + tally.lost.total + tally.skipped.total
    assert tally.shown >= 2 + len(rest)


def test_a_duration_ends_it(tmp_path: Path) -> None:
    with (
        caller() as traced,
        tracing(tmp_path, "--pid", traced.pid, "-d", "200ms") as running,
    ):
        assert running.process.wait() == 0
        running.identity()


def test_the_last_seconds_are_printed_on_a_signal(tmp_path: Path) -> None:
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "getppid", "--last", "1h")
        with tracing(tmp_path, *calls) as running:
            make(traced, 10)
            let_pass(0.5)
            assert running.lines == []
            running.process.send_signal(signal.SIGUSR1)
            until(lambda: len(running.lines) == 10, "the lines that were kept")
            make(traced, 5)
            assert running.end() == 0
        assert names(running.lines) == {"getppid": 15}
        assert running.identity() == [15, 15, 0, 0]


def test_a_slow_call_prints_what_preceded_it(tmp_path: Path) -> None:
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "getppid,read", "--last", "1h")
        with tracing(tmp_path, *calls, "--slower-than", "300ms") as running:
            make(traced, 3)
            let_pass(1.0)
            assert names(running.lines)["getppid"] == 0
            make(traced, 1)  # ends the read that it waited in
            until(lambda: names(running.lines)["getppid"] >= 3, "the lines that were kept")
            assert running.end() == 0
        running.identity()


def test_calls_slower_than_a_time_are_chosen_in_the_kernel(tmp_path: Path) -> None:
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "getppid,read", "--slower-than", "300ms")
        with tracing(tmp_path, *calls) as running:
            make(traced, 10)
            let_pass(1.0)
            make(traced, 10)
            assert running.end() == 0
        made, shown, lost, skipped = running.identity()
        assert lost == 0
        assert (made, names(running.lines)["read"]) == (23, shown)
        assert skipped >= 15


def test_a_timeline_is_what_perfetto_reads(tmp_path: Path) -> None:
    timeline = tmp_path / "timeline"
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "getppid,close", "--perfetto", str(timeline))
        with tracing(tmp_path, *calls) as running:
            make(traced, 10)
            assert running.end() == 0
    found = decoded(timeline)
    (track,) = tracks(found)
    assert (track.thread.pid, track.thread.tid) == (traced.pid, traced.pid)
    done = slices(found)[track.uuid]
    assert [one.name for one in done] == ["getppid", "close"] * 10
    assert all(one.length > 0 and one.depth == 0 for one in done)
    facts = {"arguments": "999", "result": "-1 EBADF (Bad file descriptor)"}
    assert [one.facts for one in done if one.name == "close"] == [facts] * 10


def test_a_connection_has_a_track_of_its_own(server: Memcached, tmp_path: Path) -> None:
    assert server.port is not None
    timeline = tmp_path / "timeline"
    with tracing(tmp_path, "--port", server.port, "--perfetto", str(timeline)) as running:
        exchange(server.port, b"get a\r\n")
        until(lambda: any("close(" in line for line in running.lines), "the connection's end")
        assert running.end() == 0
    found = decoded(timeline)
    names = {track.name: track.uuid for track in tracks(found)}
    told = [one.facts.get("memcached", "") for one in slices(found)[names["conn 1"]]]
    assert [note.split(": ")[-1] for note in told] == ["get ×1 (key 1 B)", "END ×1"]


@pytest.mark.kernel
def test_it_ends_with_its_process(tmp_path: Path) -> None:
    with caller() as traced, tracing(tmp_path, "--pid", traced.pid) as running:
        assert traced.stdin is not None
        traced.stdin.write("end\n")
        traced.stdin.flush()
        assert traced.wait() == 0
        assert running.process.wait() == 0
    assert re.fullmatch(r"\[pid \d+\] exit_group\(0\) += \?", running.lines[-2])
    assert running.lines[-1].endswith("+++ exited with 0 +++")
    running.identity()


@pytest.mark.kernel
@pytest.mark.quick
def test_nothing_is_left_after_a_kill(tmp_path: Path) -> None:
    with caller() as traced, tracing(tmp_path, "--pid", traced.pid) as running:
        held = kernel_objects_of(running.process.pid)
        assert {one.kind for one in held} == {"prog_id", "map_id", "link_id"}
        running.end(signal.SIGKILL)
        wait_until_gone(held, "a killed process")


def test_the_output_is_not_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "calls"
    output.write_text("kept")
    command = [sys.executable, "-m", "membench", "trace", "--pid", str(os.getpid())]
    done = subprocess.run([*command, "-o", output], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "exists" in done.stderr
    assert "--force" in done.stderr
    assert output.read_text() == "kept"


def test_a_file_that_takes_no_more_is_told_and_the_identity_still_printed(tmp_path: Path) -> None:
    output = tmp_path / "calls"
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "getppid", "-o", str(output))
        with tracing(tmp_path, *calls, prefix=["prlimit", "--fsize=4096"]) as running:
            make(traced, 500)
            assert running.process.wait() == 1
        assert f"{output}: cannot write: File too large" in running.remarks
        assert output.stat().st_size == 4096
        running.identity()


def test_wrong_arguments_are_errors_with_a_remedy() -> None:
    with pytest.raises(UsageError, match=r"`sendmesage`.*did you mean .*`sendmsg`"):
        membench.trace("sendmesage", pids=[os.getpid()])
    with pytest.raises(UsageError, match="%network, %desc"):
        membench.trace("%net", pids=[os.getpid()])
    with pytest.raises(UsageError, match="no process") as found:
        membench.trace("read")
    assert found.value.hint
    with pytest.raises(CaptureUnavailableError, match="no process 4194303 is running") as missing:
        membench.trace(pids=[4_194_303])
    assert missing.value.hint
    with pytest.raises(CaptureUnavailableError, match="no process listens on port 1,"):
        membench.trace(ports=[1])
    tids: list[int] = []
    go = threading.Event()

    def wait() -> None:
        tids.append(threading.get_native_id())
        go.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        until(lambda: tids, "a thread")
        with pytest.raises(UsageError, match=f"thread of process {os.getpid()}"):
            membench.trace(pids=tids)
    finally:
        go.set()
        thread.join()


def test_two_capabilities_trace_a_process(tmp_path: Path) -> None:
    prefix = with_capabilities("bpf", "perfmon")
    with caller() as traced:
        calls = ("--pid", traced.pid, "-e", "getppid")
        with tracing(tmp_path, *calls, prefix=prefix) as running:
            make(traced, 10)
            assert running.end() == 0
        assert names(running.lines) == {"getppid": 10}
        assert running.identity() == [10, 10, 0, 0]


def test_without_capabilities_the_error_names_them(tmp_path: Path) -> None:
    with tracing(tmp_path, "--pid", os.getpid(), prefix=with_capabilities()) as running:
        assert running.process.wait() == 5
    assert "Missing: CAP_BPF, CAP_PERFMON" in running.remarks
    assert "hint: " in running.remarks


def test_keys_are_shown_on_a_terminal_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "membench", "trace", "--port", "11211", "--show-keys"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "terminal only" in done.stderr
