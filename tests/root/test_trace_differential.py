"""One process under `strace -f` and under `membench trace` at the same time: the same calls."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import strace
from support.process import started
from support.traced_workload import BEGIN, END
from support.waiting import until

pytestmark = [pytest.mark.root]

WORKLOAD = Path(strace.__file__).with_name("traced_workload.py")
#: Kinds of calls that the workload makes at least.
KINDS = 30


def traced(tmp_path: Path, *options: str) -> tuple[list[str], list[str], str]:
    """Run the workload under both; return the lines of strace, ours, and our remarks."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    theirs, ours, remarks = (tmp_path / name for name in ("strace", "trace", "remarks"))
    with started([sys.executable, str(WORKLOAD)], stdin=subprocess.PIPE) as workload:
        command = ["strace", "-f", "-s", "4096", "-o", str(theirs), "-p", str(workload.pid)]
        with started(command, stderr=subprocess.PIPE) as tracer:
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
            trace = [sys.executable, "-m", "membench", "trace", "--pid", str(workload.pid)]
            with (
                remarks.open("w") as file,
                started([*trace, "-o", str(ours), *options], stderr=file) as mine,
            ):
                until(lambda: "tracing" in remarks.read_text() or mine.poll(), "a trace")
                workload.communicate("go\n")
                assert workload.returncode == 0
                assert mine.wait() == 0, remarks.read_text()
            tracer.wait()
    return (
        theirs.read_text().splitlines(),
        ours.read_text().splitlines(),
        remarks.read_text(),
    )


def between_marks(calls: list[strace.Traced]) -> list[strace.Traced]:
    """Return the calls of a thread from the first mark to the second, if it set them."""
    places = [
        index
        for index, call in enumerate(calls)
        if call.name == "access" and (BEGIN in call.arguments or END in call.arguments)
    ]
    return calls[places[0] : places[-1] + 1] if places else calls


def test_calls_arguments_results_and_order_are_those_of_strace(tmp_path: Path) -> None:
    theirs, ours, remarks = traced(tmp_path)
    expected, found = strace.by_thread(theirs), strace.by_thread(ours)
    # The child that the workload forks is another process.
    children = expected.keys() - found.keys()
    assert len(children) == 1, remarks
    kinds = set()
    for tid in found:
        mine, other = between_marks(found[tid]), between_marks(expected[tid])
        kinds.update(call.name for call in mine)
        assert [str(call) for call in mine] == [str(call) for call in other], tid
    assert len(kinds - {"---", "+++"}) >= KINDS, sorted(kinds)
    assert len(found) >= 5
    assert " + 0 lost + 0 skipped" in remarks


def test_a_process_that_is_killed_ends_its_trace(tmp_path: Path) -> None:
    output = tmp_path / "calls"
    with started([sys.executable, str(WORKLOAD)], stdin=subprocess.PIPE) as workload:
        trace = [sys.executable, "-m", "membench", "trace", "--pid", str(workload.pid)]
        with started([*trace, "-o", str(output)], stderr=subprocess.PIPE) as mine:
            assert mine.stderr is not None
            assert "tracing" in mine.stderr.readline()
            os.kill(workload.pid, signal.SIGKILL)
            assert mine.wait() == 0
    lines = output.read_text().splitlines()
    assert lines[-1].endswith("+++ killed by SIGKILL +++"), lines
