"""One client that means harm: it neither blinds the recorder nor makes it wrong, for anybody.

The long form runs in `make soak` for `MEMBENCH_SOAK_SECONDS`.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import pytest

import membench as library
from membench._ledger import LOSSES
from support import proc
from support.cli import Completed, Recorder, membench, recorder
from support.floods import FLOODS
from support.ports import free_port
from support.profile import event_tables, events, table
from support.server import Memcached, connect, memcached
from support.unique import key_file
from support.waiting import DEADLINE, until

pytestmark = [pytest.mark.root, pytest.mark.memcached]

MB = 1 << 20
#: Combinations of flags that are stored as they were sent.
AS_SENT = 4_096
SECONDS = float(os.environ.get("MEMBENCH_SOAK_SECONDS", "600"))
#: Most memory of a recorder under any of these floods, its ring of 64 MB included, bytes.
BOUND = 512 * MB
DATA_LOST = 4

Figure = Callable[[str], None]


def memory(pid: int, name: str = "VmHWM") -> int:
    """Return the peak memory of a process, or its present memory, bytes."""
    status = proc.read(Path(f"/proc/{pid}/status"))
    assert status is not None, "it has ended"
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, s."""
    stat = proc.read(Path(f"/proc/{pid}/stat"))
    assert stat is not None, "it has ended"
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def flood(kinds: Sequence[str], port: int, seconds: float) -> Iterator[dict[str, int]]:
    """Run floods; yields what they did, which is known when the block ends."""
    done: dict[str, int] = {}
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "support.floods", kind, str(port), str(seconds)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        for kind in kinds
    ]
    try:
        yield done
        for process in running:
            output, _ = process.communicate(timeout=seconds + DEADLINE)
            for kind, amount in json.loads(output).items():
                done[kind] = done.get(kind, 0) + amount
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_permuted_flags_are_bounded_and_counted_and_others_stay_right(
    server: Memcached, output: Path, tmp_path: Path
) -> None:
    path, ids = key_file(tmp_path)
    letters = "cfhklstv"
    rng = random.Random(7)
    orders = [" ".join(rng.sample(letters, len(letters))) for _ in range(30_000)]
    with (
        recorder(output, [server.port], "--key-file", str(path)) as running,
        connect(server.port) as hostile,
        connect(server.port) as honest,
    ):
        honest.sendall(b"mg honest v s\r\n")
        assert honest.recv(100) == b"EN\r\n"
        for first in range(0, len(orders), 100):
            sent = [f"mg hostile {flags}\r\n" for flags in orders[first : first + 100]]
            hostile.sendall("".join(sent).encode())
            left = len(sent) * len(b"EN\r\n")
            while left:
                left -= len(hostile.recv(left))
        honest.sendall(b"mg honest v s\r\n")
        assert honest.recv(100) == b"EN\r\n"
        honest.sendall(b"ms honest 2 T0 I q\r\nhi\r\nmn\r\n")
        assert honest.recv(100) == b"MN\r\n"
        ended = running.stop()
    rows = events(output)
    own = [row["options"] for row in rows if row["key"] == ids.id_of(b"honest")]
    assert own == ["v s", "v s", "I T q"], "an old combination is as sent, a new one is reduced"
    kept = [row["options"] for row in rows if row["key"] == ids.id_of(b"hostile")]
    assert len(kept) == len(orders)
    different = sum(stored != sent for stored, sent in zip(kept, orders, strict=True))
    losses = ended.json["ledger"]
    assert losses["options_cut"] == different + 1
    assert (losses["complete"], ended.code) == (False, DATA_LOST)
    assert len(set(kept)) <= AS_SENT + 1
    others = {name: lost for name, lost in losses.items() if name == "unattended" or "ring" in name}
    assert not any(value for value in others.values() if isinstance(value, int)), others
    assert len((output / "manifest.json").read_bytes()) < MB


def test_new_peers_without_end_are_each_a_connection_and_leave_no_memory(output: Path) -> None:
    with (
        udp_server() as server,
        recorder(output, [server.port], "--no-stats") as running,
    ):
        with flood(["new_peers"], server.port, 3) as done:
            pass
        until(lambda: settled(running), "the last datagrams")
        grown = memory(running.pid, "VmRSS")
        with flood(["new_peers"], server.port, 5) as more:
            pass
        assert memory(running.pid, "VmRSS") - grown < 64 * MB
        ended = running.stop()
    made = done["new_peers"] + more["new_peers"]
    rows = table(output, "connections")
    assert len({row["connection"] for row in rows}) == len(rows) == ended.json["connections"]
    assert len(rows) > made / 4, "memcached drops datagrams that it has no room for"
    assert {row["transport"] for row in rows} == {"udp"}


def test_a_killed_recorder_leaves_each_connection_once(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port], "--no-stats") as running, connect(server.port) as stays:
        stays.sendall(b"get stays\r\n")
        assert stays.recv(100) == b"END\r\n"
        for _ in range(50):
            with connect(server.port) as client:
                client.sendall(b"get a\r\n")
                assert client.recv(100) == b"END\r\n"
        ended = output / "connections.arrows.part"
        until(lambda: ended.exists() and len(connections(output)) > 50, "51 connections")
        running.kill()
    found = connections(output)
    assert membench("repair", output).code == 0
    assert not ended.exists()
    assert connections(output) == found
    assert len(table(output, "connections")) == len(found) == 51
    assert sum(row["closed"] is None for row in table(output, "connections")) == 1


def connections(profile: Path) -> list[tuple[int, object]]:
    """Return ordinal and time of closing of the connections of a profile of any state."""
    listed = pyarrow.table(library.open(profile).connections()).to_pylist()
    return [(row["connection"], row["closed"]) for row in listed]


@contextmanager
def udp_server() -> Iterator[Memcached]:
    """Start a memcached that also takes datagrams, at the same port."""
    port = free_port()
    arguments = ("-U", str(port), "-c", "8192")
    with memcached(threads=4, memory=256, port=port, arguments=arguments) as server:
        yield server


def settled(running: Recorder) -> bool:
    """Return true if the recorder does not use the CPU."""
    before = cpu_s(running.pid)
    time.sleep(0.5)
    return cpu_s(running.pid) - before < 0.1


def asking(port: int, over: threading.Event, failures: list[str]) -> int:
    """Be an honest client until it is over; note what goes wrong."""
    asked = 0
    with connect(port) as client:
        client.sendall(b"set honest 0 0 5\r\nvalue\r\n")
        if client.recv(100) != b"STORED\r\n":
            failures.append("set")
        while not over.wait(0.005):
            client.sendall(b"get honest\r\n")
            answer = b""
            while not answer.endswith(b"END\r\n"):
                received = client.recv(100)
                if not received:
                    failures.append("closed")
                    return asked
                answer += received
            if answer != b"VALUE honest 0 5\r\nvalue\r\nEND\r\n":
                failures.append(repr(answer))
            asked += 1
    return asked


@pytest.mark.parametrize("seconds", [8, pytest.param(SECONDS, marks=pytest.mark.soak)])
def test_all_of_them_at_once(output: Path, seconds: float, figure: Figure, tmp_path: Path) -> None:
    path, ids = key_file(tmp_path)
    over = threading.Event()
    failures: list[str] = []
    asked: list[int] = []
    with udp_server() as server:
        options = ["--key-file", str(path), "--max-cpu", "100%"]
        with recorder(output, [server.port], *options) as running:
            # While threads of the server are busy, its counters are not those of one moment.
            until(lambda: has_asked(output), "the first answers")
            honest = threading.Thread(
                target=lambda: asked.append(asking(server.port, over, failures))
            )
            honest.start()
            begun, used = time.monotonic(), cpu_s(running.pid)
            with flood([*FLOODS, "short_connections"], server.port, seconds) as done:
                look(running, begun + seconds)
            over.set()
            honest.join()
            share = (cpu_s(running.pid) - used) / (time.monotonic() - begun)
            peak = memory(running.pid)
            until(lambda: settled(running), "the last of it")
            ended = running.stop()
    figure(
        f"hostile client: {seconds:g} s, {done}, recorder {peak / MB:.0f} MB of at most"
        f" {BOUND / MB:.0f} MB, {share * 100:.0f} % CPU, lost {lost(ended)}"
    )
    assert failures == []
    assert ended.json["ended"]["by"] == "asked", "no guard was reached"
    assert peak < BOUND
    every_byte_is_counted(ended)
    if not ended.json["ledger"]["unattended"]:
        assert events_on(output, ids.id_of(b"honest")) == asked[0] + 1


def has_asked(profile: Path) -> bool:
    """Return true if the server's counters at the start are known."""
    manifest = json.loads((profile / "manifest.json").read_text())
    return bool(manifest["statistics_start"])


def look(running: Recorder, end: float) -> None:
    """Watch a recorder until a time: its memory stays within the bound all the while."""
    while (left := end - time.monotonic()) > 0:
        assert memory(running.pid, "VmRSS") < BOUND
        time.sleep(min(1.0, left))


def lost(ended: Completed) -> dict[str, int]:
    """Return the loss terms of a recording that are not 0."""
    ledger = ended.json["ledger"]
    return {name: ledger[name] for name in LOSSES if ledger[name]}


def every_byte_is_counted(ended: Completed) -> None:
    """Fail unless each byte that memcached moved is in the ledger, recorded or lost."""
    ledger = ended.json["ledger"]
    for server in ledger["servers"]:
        for flow in (server["request"], server["response"]):
            terms = [flow[name] for name in flow if name not in ("seen", "missed")]
            assert flow["seen"] == sum(terms), flow
    unseen = sum(ledger[name] for name in ("missed", "unattended", "ring_full"))
    counters = {one["counter"]: one for one in ended.json["differences"]}
    assert set(counters) == {"bytes_read", "bytes_written"}
    for one in counters.values():
        assert one["server"] - one["recorded"] <= unseen, one


def events_on(profile: Path, key: int) -> int:
    """Count the events of one key, part by part."""
    return sum(part.column("key").to_pylist().count(key) for part in event_tables(profile))
