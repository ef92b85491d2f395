"""Measure what tracing costs, ns of time per system call: of the traced process, and of others.

A process makes calls of three kinds: `getppid`, a failing `close`, and a write of one byte to a
pipe followed by a read of it. They run without a tracer, under `membench trace` (all calls, one
call that is not made, totals), and under `strace` (all calls, and with its filter on one call that
is not made). A bystander makes the same calls meanwhile. Each round runs every arm once; the output
is the median over the rounds.

    python benches/trace_cost.py [--rounds 5] [--calls 5000]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.process import started
from support.waiting import until

TRACE = [sys.executable, "-m", "membench", "trace"]
# Arm → the tracer's command, to which the process's number is added.
ARMS: dict[str, list[str]] = {
    "nothing": [],
    "membench trace": [*TRACE, "-e", "%all", "--pid"],
    "membench trace -c": [*TRACE, "-c", "--pid"],
    "membench trace -e accept4": [*TRACE, "-e", "accept4", "--pid"],
    "strace -f": ["strace", "-f", "-p"],
    "strace -f -e accept4": ["strace", "-f", "-e", "trace=accept4", "-p"],
}
# Reads a number of calls, makes each kind so often, and writes ns a call: the fastest of 5 parts.
MADE = """
import os, sys, time
reader, writer = os.pipe()

def fail():
    try:
        os.close(999)
    except OSError:
        pass

def move():
    os.write(writer, b"x")
    os.read(reader, 1)

def cost(call, calls):
    start = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - start) / calls

for line in sys.stdin:
    part = max(1, int(line) // 5)
    costs = [min(cost(call, part) for _ in range(5)) for call in (os.getppid, fail, move)]
    costs[2] /= 2
    sys.stdout.write(" ".join(str(one) for one in costs) + "\\n")
    sys.stdout.flush()
"""
KINDS = ("getppid", "close", "read, write")


@contextmanager
def caller() -> Iterator[subprocess.Popen[str]]:
    """Start a process that makes calls."""
    with started(
        [sys.executable, "-c", MADE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        measure(process, 10)
        yield process


def measure(process: subprocess.Popen[str], calls: int) -> list[float]:
    """Have a process make calls; return ns a call of each kind."""
    asked, told = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
    asked.write(f"{calls}\n")
    asked.flush()
    return [float(text) for text in told.readline().split()]


@contextmanager
def traced(command: list[str], pid: int, folder: Path) -> Iterator[None]:
    """Trace a process with a command."""
    if not command:
        yield
        return
    remarks = folder / "remarks"
    with (
        remarks.open("w") as errors,
        (folder / "lines").open("w") as lines,
        started([*command, str(pid)], stdout=lines, stderr=errors) as tracer,
    ):
        begun = ("tracing", "attached")
        until(lambda: any(word in remarks.read_text() for word in begun), "a tracer")
        yield
        tracer.terminate()
        tracer.wait()


def main() -> None:
    """Run the rounds and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=5000)
    options = parser.parse_args()
    arms = {
        name: command
        for name, command in ARMS.items()
        if not name.startswith("strace") or shutil.which("strace")
    }
    costs: dict[str, list[list[float]]] = {name: [] for name in arms}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.rounds):
            for arm, command in arms.items():
                with (
                    caller() as process,
                    caller() as bystander,
                    traced(command, process.pid, Path(name)),
                ):
                    own = measure(process, options.calls)
                    costs[arm].append([*own, *measure(bystander, options.calls)])
    print(f"{'ns a call, median':26} {'traced process':>38}   {'bystander':>38}")
    print(f"{'':26} " + "  ".join(f"{kind:>12}" for kind in KINDS * 2))
    for arm, rounds in costs.items():
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        print(f"{arm:26} " + "  ".join(f"{one:12,.0f}" for one in medians))


if __name__ == "__main__":
    main()
