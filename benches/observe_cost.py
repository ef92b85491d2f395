"""Measure what observing costs the server: memcached's CPU per operation, bare and observed.

In every round all arms run one after the other on one memcached and the workload of
`record_cost.py`, one request at a time: bare, beside `observe` without privileges, beside
`observe --requests`, and beside `perf record -F 99 -a` if perf is installed. The output is the
median over the rounds with the range, the median difference from the bare run of the same round,
and what the kernel counted of the programs themselves.

    python benches/observe_cost.py [--rounds 7] [--seconds 1.5]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from record_cost import Counters, Load, writes

from support.process import started
from support.server import Memcached, memcached
from support.waiting import until

BARE, THREADS, REQUESTS, PERF = "bare", "observe", "observe --requests", "perf record -F 99"
OBSERVE = (sys.executable, "-m", "membench", "observe", "--format", "json", "--interval", "1h")


@contextmanager
def beside(arm: str, server: Memcached, told: list[float]) -> Iterator[None]:
    """Run an arm's tool beside the block; note what the programs took of each request, ns."""
    if arm == BARE:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        command = (
            ["perf", "record", "-q", "-F", "99", "-a", "-o", str(data)]
            if arm == PERF
            else [*OBSERVE, "--port", str(server.port), *arm.split()[1:]]
        )
        connected = clients(server)
        with started(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            # membench asks the server for its counters once it observes.
            until(lambda: data.exists() or clients(server) > connected, f"{arm} running")
            yield
            process.send_signal(signal.SIGINT)
            output = process.stdout.read() if process.stdout is not None else ""
        if arm == REQUESTS:
            told += [json.loads(line)["cost_ns_per_request"] for line in output.splitlines()]


def clients(server: Memcached) -> int:
    """Return the number of open connections."""
    return int(server.stats()["curr_connections"])


def spread(values: list[float]) -> str:
    """Format the median and the range."""
    return f"{statistics.median(values):,.0f} [{min(values):,.0f} to {max(values):,.0f}]"


def main() -> None:
    """Run the rounds and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    options = parser.parse_args()
    arms = [BARE, THREADS, REQUESTS, *([PERF] if shutil.which("perf") else [])]
    costs: dict[str, list[float]] = {arm: [] for arm in arms}
    told: list[float] = []
    with memcached() as server:
        load, planned = Load(server.port), writes(1)
        for _ in range(options.rounds):
            for arm in arms:
                with beside(arm, server, told):
                    counters = Counters(server)
                    load.run(planned, options.seconds)
                    costs[arm].append(counters.since()[1])
        load.close()
    print("CPU of memcached per operation, ns: median [range]; more than bare in the same round")
    for arm, values in costs.items():
        more = [value - bare for value, bare in zip(values, costs[BARE], strict=True)]
        print(f"  {arm:20} {spread(values):>28}   {spread(more):>28}")
    print(f"programs of {REQUESTS}, by the kernel's count: {spread(told)} ns a request")


if __name__ == "__main__":
    main()
