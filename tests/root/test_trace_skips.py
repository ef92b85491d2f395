"""Calls of tasks that preempt each other: `trace` counts them, or bounds what it cannot know."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import membench
from support.kernel import release
from support.process import started
from support.waiting import PATIENCE, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.kernel,
    pytest.mark.quick,
    pytest.mark.skipif(release() < (5, 12), reason="traces take Linux 5.12"),
]

#: From this kernel on the tracepoints of system calls are preemptible, and the kernel skips a
#: program that runs on the same CPU already.
SKIPS = (7, 2)
#: How the kernel preempts tasks, and how it may.
MODEL = Path("/sys/kernel/debug/sched/preempt")
PAIRS = 3
#: Fewer on an emulated machine.
TURNS = 2_000 if PATIENCE == 1 else 100
#: Processes that wake each other on one CPU, so that each preempts the other in a call: every one
#: writes and reads TURNS times a round. A round begins with a line and ends with `made`.
PING_PONG = """
import ctypes, os, sys
pairs, turns = map(int, sys.argv[1:])
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
children = []
for _ in range(pairs):
    there, back, starts, ends = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    for first in (True, False):
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: ends with its parent
            out, into = (there[1], back[0]) if first else (back[1], there[0])
            while os.read(starts[0], 1):
                for _ in range(turns):
                    if first:
                        os.write(out, b"x")
                        os.read(into, 1)
                    else:
                        os.read(into, 1)
                        os.write(out, b"x")
                os.write(ends[1], b"x")
        children.append((pid, starts[1], ends[0]))
print(*(pid for pid, _, _ in children), flush=True)
for _ in sys.stdin:
    for _, start, _ in children:
        os.write(start, b"x")
    for _, _, end in children:
        os.read(end, 1)
    print("made", flush=True)
"""


@contextmanager
def preempting() -> Iterator[None]:
    """Let the kernel preempt tasks at any point, if it may be told."""
    before = MODEL.read_text() if MODEL.exists() else ""
    if "full" in before and "(full)" not in before:
        MODEL.write_text("full")
    try:
        yield
    finally:
        if "(" in before:
            MODEL.write_text(before.split("(")[1].split(")")[0])


def test_calls_that_the_kernel_skips_are_bounded_by_the_runs_that_it_skipped() -> None:
    command = [sys.executable, "-c", PING_PONG, str(PAIRS), str(TURNS)]
    with (
        preempting(),
        started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pairs,
    ):
        assert pairs.stdin is not None
        assert pairs.stdout is not None
        pids = [int(pid) for pid in pairs.stdout.readline().split()]
        rounds = 0
        # Each process waits in a read for its next round, before and after what is counted.
        with membench.trace("write", pids=pids, totals=True, hooks="tracepoints") as running:

            def is_enough() -> bool:
                nonlocal rounds
                pairs.stdin.write("\n")
                pairs.stdin.flush()
                assert pairs.stdout.readline() == "made\n"
                rounds += 1
                return release() < SKIPS or running.tally().runs_skipped > 0

            until(is_enough, "a run that the kernel skips")
            running.stop()
            tally = running.tally()
    calls = rounds * 2 * PAIRS * (TURNS + 1)
    assert tally.made == tally.shown + tally.lost.total + tally.skipped.total
    assert calls - tally.runs_skipped <= tally.made <= calls, (calls, tally)
    assert tally.lost.ring_full == tally.lost.malformed == 0
    if not tally.runs_skipped:
        assert (tally.made, tally.shown) == (calls, calls)
