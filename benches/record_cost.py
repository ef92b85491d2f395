"""Measure what recording costs the server: memcached's CPU per operation, bare and recorded.

In every round all arms run one after the other, within the same minute, on one memcached and one
workload: 10 gets to 1 set of 100-byte values on 10 connections, one request at a time or 32 per
write. An arm's cost is its CPU time per operation minus the bare arm's in the same round. The
output is its median over the rounds with the range, and the median ratio to tcpdump's cost in the
same round. The run times of the BPF programs (kernel.bpf_stats_enabled) are printed as well; they
are steadier, because at depth 1 anything on another core changes how often memcached sleeps.

    python benches/record_cost.py [--rounds 7] [--seconds 1.5] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cli import Recorder
from support.server import Memcached, StatsConnection, memcached
from support.waiting import until

CONNECTIONS = 10
KEYS = 1000
VALUE = b"v" * 100
SETS_EVERY = 11
DEPTHS = (1, 32)
BARE, TCPDUMP = "bare", "tcpdump"
#: Options of each recording.
RECORDINGS = {
    "none": ("--responses", "none"),
    "lengths": ("--responses", "lengths"),
    "bytes": ("--responses", "bytes"),
    "no arrival": ("--responses", "bytes", "--no-arrival"),
}
ARMS = (BARE, *RECORDINGS, TCPDUMP)
BUDGETS = {"none": 1 / 4, "lengths": 1 / 3, "bytes": 1 / 2}
#: The default of `record`; the recorder of the tests has a larger ring.
RING_SIZE = "16M"
BPF_STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm in one round: ns of CPU per operation, by consumer."""

    operations: int
    server_ns: float
    programs_ns: float | None
    recorder_ns: float | None


@dataclass(frozen=True, slots=True)
class Write:
    """One write on a connection, and the size of its answer."""

    data: bytes
    answer: int


def key(number: int) -> bytes:
    """Return one of the keys, which all have the same size."""
    return b"membench-cost-%06d" % (number % KEYS)


def request(number: int) -> Write:
    """Return a set, or a get that hits."""
    if number % SETS_EVERY == 0:
        return Write(
            b"set %s 0 0 %d\r\n%s\r\n" % (key(number), len(VALUE), VALUE), len(b"STORED\r\n")
        )
    answer = b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key(number), len(VALUE), VALUE)
    return Write(b"get %s\r\n" % key(number), len(answer))


def writes(depth: int) -> list[Write]:
    """Return the writes of a connection, in order: each key once, `depth` requests per write."""
    count = KEYS * SETS_EVERY // depth
    batches = [[request(batch * depth + place) for place in range(depth)] for batch in range(count)]
    return [
        Write(b"".join(one.data for one in batch), sum(one.answer for one in batch))
        for batch in batches
    ]


class Load:
    """Closed-loop clients in one thread: each connection has one write in flight."""

    def __init__(self, port: int) -> None:
        """Connect and store every key."""
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        filled = [
            b"set %s 0 0 %d noreply\r\n%s\r\n" % (key(number), len(VALUE), VALUE)
            for number in range(KEYS)
        ]
        self._sockets[0].sendall(b"".join(filled) + b"mn\r\n")
        receive(self._sockets[0], len(b"MN\r\n"))

    def run(self, planned: list[Write], seconds: float) -> None:
        """Keep every connection busy for a time."""
        end = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < end:
            for _ in range(20):
                one = planned[turn % len(planned)]
                turn += 1
                for connection in self._sockets:
                    connection.sendall(one.data)
                for connection in self._sockets:
                    receive(connection, one.answer)

    def close(self) -> None:
        """Disconnect."""
        for one in self._sockets:
            one.close()


def receive(connection: socket.socket, size: int) -> None:
    """Receive an answer of known size."""
    while size:
        size -= len(connection.recv(size))


class Counters:
    """memcached's own counters: operations and CPU time since the last restart."""

    def __init__(self, server: Memcached) -> None:
        """Connect and read the counters."""
        self._connection = StatsConnection(server.port)
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._last = self._read()

    def _read(self) -> tuple[int, float]:
        stats = self._connection.ask()
        return int(stats["cmd_get"]) + int(stats["cmd_set"]), float(stats["rusage_user"]) + float(
            stats["rusage_system"]
        )

    def since(self) -> tuple[int, float]:
        """Return the operations since the last restart, and ns of CPU time per operation."""
        now = self._read()
        operations, seconds = now[0] - self._last[0], now[1] - self._last[1]
        return operations, seconds * 1e9 / operations


def program_times(pid: int) -> dict[int, int]:
    """Return the total run time, ns, of each BPF program that a process holds open."""
    times: dict[int, int] = {}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            fields = dict(
                line.split(":", 1) for line in entry.read_text().splitlines() if ":" in line
            )
            if "prog_id" in fields:
                times[int(fields["prog_id"])] = run_time(int(fields["prog_id"]))
    return times


def run_time(program: int) -> int:
    """Return a program's run time so far, ns, as bpftool reports it."""
    command = [shutil.which("bpftool") or "bpftool", "-j", "prog", "show", "id", str(program)]
    shown = subprocess.run(command, capture_output=True, check=True)
    return int(json.loads(shown.stdout).get("run_time_ns", 0))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all threads, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def recording(arm: str, port: int, folder: Path) -> Iterator[int | None]:
    """Run an arm's recorder during the block; yield its pid."""
    if arm == BARE:
        yield None
    elif arm == TCPDUMP:
        with dumping(port, folder) as pid:
            yield pid
    else:
        options = (*RECORDINGS[arm], "--force", "--no-stats", "--ring-size", RING_SIZE)
        running = Recorder(folder / "cost.mb", [port], *options)
        try:
            yield running.attached().pid
            running.stop()
        finally:
            running.discard()


@contextlib.contextmanager
def dumping(port: int, folder: Path) -> Iterator[int]:
    """Run tcpdump of the port into a file during the block; yield its pid."""
    command = [shutil.which("tcpdump") or "tcpdump", "-i", "lo", "-w", str(folder / "cost.pcap")]
    with (folder / "tcpdump.log").open("w+") as log:
        process = subprocess.Popen([*command, "tcp", "port", str(port)], stderr=log)
        until(lambda: "listening on" in (folder / "tcpdump.log").read_text(), "tcpdump listening")
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            (folder / "cost.pcap").unlink(missing_ok=True)


def measure(
    arm: str, server: Memcached, load: Load, planned: list[Write], seconds: float, folder: Path
) -> Sample:
    """Measure one arm once."""
    counters = Counters(server)
    with recording(arm, server.port, folder) as pid:
        started = program_times(pid) if arm in RECORDINGS and pid else {}
        own = cpu_seconds(pid) if pid else 0.0
        counters.restart()
        load.run(planned, seconds)
        operations, server_ns = counters.since()
        programs = program_times(pid) if started and pid else {}
        spent = (cpu_seconds(pid) - own) * 1e9 / operations if pid else None
    ran = (
        sum(programs[one] - started.get(one, 0) for one in programs) / operations
        if programs
        else None
    )
    return Sample(operations, server_ns, ran, spent)


def rounds(
    count: int, seconds: float, say: Callable[[str], None]
) -> dict[int, dict[str, list[Sample]]]:
    """Measure every arm at every depth, `count` times, in alternating order."""
    samples: dict[int, dict[str, list[Sample]]] = {
        depth: {arm: [] for arm in ARMS} for depth in DEPTHS
    }
    with memcached(threads=4) as server, tempfile.TemporaryDirectory() as name:
        load = Load(server.port)
        for number in range(count):
            for depth in DEPTHS:
                planned = writes(depth)
                for arm in ARMS if number % 2 else reversed(ARMS):
                    sample = measure(arm, server, load, planned, seconds, Path(name))
                    samples[depth][arm].append(sample)
            say(f"round {number + 1} of {count}")
        load.close()
    return samples


def costs(samples: dict[str, list[Sample]], arm: str) -> list[float]:
    """Return an arm's cost to the server over the bare run of each round, ns per operation."""
    return [
        one.server_ns - bare.server_ns
        for one, bare in zip(samples[arm], samples[BARE], strict=True)
    ]


def spread(values: list[float]) -> dict[str, float]:
    """Return median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarize(samples: dict[str, list[Sample]]) -> dict[str, dict[str, object]]:
    """Return every arm's numbers at one depth."""
    dumped = costs(samples, TCPDUMP)
    found: dict[str, dict[str, object]] = {}
    for arm in ARMS:
        own = costs(samples, arm)
        programs = [one.programs_ns for one in samples[arm] if one.programs_ns is not None]
        recorder = [one.recorder_ns for one in samples[arm] if one.recorder_ns is not None]
        found[arm] = {
            "server_ns": spread([one.server_ns for one in samples[arm]]),
            "cost_ns": spread(own),
            "to_tcpdump": spread([cost / base for cost, base in zip(own, dumped, strict=True)]),
            "programs_ns": spread(programs) if programs else None,
            "recorder_ns": spread(recorder) if recorder else None,
            "budget_to_tcpdump": BUDGETS.get(arm),
        }
    return found


def cell(values: object, digits: int = 0) -> str:
    """Format median and range for a table."""
    if not isinstance(values, dict):
        return "-"
    middle, least, most = (f"{values[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return f"{middle} [{least} to {most}]"


def print_depth(depth: int, found: dict[str, dict[str, object]]) -> None:
    """Print one depth as a table."""
    print(f"\n{depth} request{'s' * (depth > 1)} per write, ns per operation")
    head = (
        "arm",
        "memcached's CPU",
        "cost",
        "cost / tcpdump's",
        "budget",
        "programs",
        "recorder's CPU",
    )
    print("{:<8} {:>24} {:>26} {:>22} {:>7} {:>18} {:>20}".format(*head))
    for arm, of in found.items():
        ratio = "-" if arm == BARE else cell(of["to_tcpdump"], 2)
        budget = f"{of['budget_to_tcpdump']:.2f}" if of["budget_to_tcpdump"] else "-"
        cells = (
            arm,
            cell(of["server_ns"]),
            "-" if arm == BARE else cell(of["cost_ns"]),
            ratio,
            budget,
        )
        print(
            "{:<8} {:>24} {:>26} {:>22} {:>7} {:>18} {:>20}".format(
                *cells, cell(of["programs_ns"]), cell(of["recorder_ns"])
            )
        )


@contextlib.contextmanager
def bpf_statistics() -> Iterator[None]:
    """Let the kernel time programs during the block, then restore the setting."""
    before = BPF_STATISTICS.read_text()
    BPF_STATISTICS.write_text("1")
    try:
        yield
    finally:
        BPF_STATISTICS.write_text(before)


def main() -> int:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one arm in one round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    missing = [name for name in ("memcached", "tcpdump", "bpftool") if shutil.which(name) is None]
    if os.geteuid() or missing:
        print(f"skipped: cost of recording needs {', '.join(missing) or 'root'}", file=sys.stderr)
        return 0
    with bpf_statistics():
        samples = rounds(options.rounds, options.seconds, lambda text: print(text, file=sys.stderr))
    found = {depth: summarize(of) for depth, of in samples.items()}
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    print(
        f"cost of recording to memcached   kernel {platform.release()}, "
        f"{os.cpu_count()} CPUs, {options.rounds} rounds"
    )
    print(f"  {sys.executable} {' '.join(sys.argv)}")
    for depth, of in found.items():
        print_depth(depth, of)
    return 0


if __name__ == "__main__":
    sys.exit(main())
