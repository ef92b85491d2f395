"""Measure what a recording costs an unrelated process: ns of CPU per system call.

The calls are `getppid`, which does next to nothing, and `read` of one byte of `/dev/zero`, which
has a descriptor. In every round they run bare, beside a recording with the `sockets` hooks, and
beside one with the `syscalls` hooks, on a port where nothing listens. The output is the median
over the rounds with its range, and the median difference from the bare run of the same round.

    python benches/bystander.py [--rounds 9] [--calls 300000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cli import recorder
from support.server import free_port

ARMS = ("bare", "sockets", "syscalls")


def cpu_ns(call: Callable[[], object], calls: int) -> float:
    """Measure the CPU time of one call, ns, including the loop around it."""
    start = time.process_time_ns()
    for _ in range(calls):
        call()
    return (time.process_time_ns() - start) / calls


def measure(arm: str, calls: dict[str, Callable[[], object]], count: int) -> dict[str, float]:
    """Measure each call, beside one kind of recording or bare."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "idle.mb"
        recording = (
            nullcontext()
            if arm == "bare"
            else recorder(output, [free_port()], "--no-stats", "--hooks", arm)
        )
        with recording:
            return {name: cpu_ns(call, count) for name, call in calls.items()}


def spread(values: list[float]) -> str:
    """Format the median and the range."""
    return f"{statistics.median(values):,.0f} [{min(values):,.0f} to {max(values):,.0f}]"


def main() -> None:
    """Run the rounds and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=300_000)
    arguments = parser.parse_args()
    with Path("/dev/zero").open("rb", buffering=0) as zeros:
        descriptor = zeros.fileno()
        calls: dict[str, Callable[[], object]] = {
            "getppid": os.getppid,
            "read": lambda: os.read(descriptor, 1),
        }
        rounds = [
            {arm: measure(arm, calls, arguments.calls) for arm in ARMS}
            for _ in range(arguments.rounds)
        ]
    sys.stdout.write("a bystander's system calls, ns of CPU each\n")
    for name in calls:
        for arm in ARMS:
            times = [one[arm][name] for one in rounds]
            more = statistics.median(one[arm][name] - one["bare"][name] for one in rounds)
            sys.stdout.write(f"{name:8} {arm:8} {spread(times):28} {more:+.0f}\n")


if __name__ == "__main__":
    main()
