"""High load, long runs, many kills: nothing is lost, memory is flat, the kernel is clean.

`make soak` runs all of it and prints figures; quick forms are part of every run.
`MEMBENCH_SOAK_SECONDS`, `MEMBENCH_SOAK_CONNECTIONS` and `MEMBENCH_SOAK_KILLS` make it shorter.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli import membench, read_info, recorder, starting
from support.kernel_objects import kernel_objects_of, wait_until_gone
from support.load import Load, load, loads as several, total
from support.profile import table
from support.server import Memcached, memcached
from support.waiting import DEADLINE, until
from support.workload import in_threads

pytestmark = [pytest.mark.root, pytest.mark.memcached]

SECONDS = float(os.environ.get("MEMBENCH_SOAK_SECONDS", "300"))
CHURN = int(os.environ.get("MEMBENCH_SOAK_CONNECTIONS", "10000"))
KILLS = int(os.environ.get("MEMBENCH_SOAK_KILLS", "100"))
OPEN = 1000
MB = 1 << 20
#: Allowed growth of a recorder's memory once it has sealed its first parts, bytes.
GROWTH = 64 * MB
CLIENTS = 8

Figure = Callable[[str], None]


class Moved:
    """Bytes that memcached counted as read and written since this object was created."""

    def __init__(self, server: Memcached) -> None:
        """Take the counters' current values as zero."""
        self._server = server
        self._before = self._look()

    def _look(self) -> tuple[int, int]:
        stats = self._server.settled_stats()
        return int(stats["bytes_read"]), int(stats["bytes_written"])

    def bytes(self) -> tuple[int, int]:
        """Return the bytes read and written since then."""
        now = self._look()
        return now[0] - self._before[0], now[1] - self._before[1]


def balanced(profile: Path, moved: tuple[int, int]) -> dict[str, int]:
    """Fail unless the ledger is complete and equals memcached's counters; return the counts."""
    info = membench("info", profile, "--format", "json", timeout=300).expect(0).json
    ledger = info["ledger"]
    assert (ledger["request_bytes"], ledger["response_bytes"]) == moved
    assert ledger["complete"] is True, ledger
    figures: dict[str, int] = {name: info[name] for name in ("events", "connections")}
    return figures


def received(peer: socket.socket, size: int) -> bytes:
    """Receive `size` bytes, or fewer if the peer closes."""
    with peer.makefile("rb") as file:
        return file.read(size)


def visit(port: int, client: int, visits: int) -> None:
    """Make short connections in sequence; every fourth leaves before its last request is read."""
    key = b"churn-%d" % client
    asked = b"set %s 0 0 5\r\nvalue\r\nget %s\r\nget absent\r\n" % (key, key)
    answer = b"STORED\r\nVALUE %s 0 5\r\nvalue\r\nEND\r\nEND\r\n" % key
    for number in range(visits):
        source = (f"127.0.2.{1 + client}", 0)
        with socket.create_connection(("127.0.0.1", port), DEADLINE, source) as peer:
            peer.sendall(asked)
            assert received(peer, len(answer)) == answer
            if number % 4 == 0:
                peer.sendall(b"set %s 0 0 5 noreply\r\nvalue\r\n" % key)


@pytest.mark.parametrize(
    "count", [320, pytest.param(CHURN, marks=pytest.mark.soak)], ids=["few", "many"]
)
def test_short_connections_are_all_recorded_and_nothing_is_lost(
    server: Memcached, output: Path, count: int, figure: Figure
) -> None:
    visits = count // CLIENTS
    moved = Moved(server)
    begun = time.monotonic()
    with recorder(output, [server.port], "--no-stats") as running:
        in_threads([lambda one=one: visit(server.port, one, visits) for one in range(CLIENTS)])
        server.wait_for_connections(0)
        took = time.monotonic() - begun
        running.stop().expect(0)
    found = balanced(output, moved.bytes())
    made = visits * CLIENTS
    unanswered = -(-visits // 4) * CLIENTS
    assert found == {"events": made * 3 + unanswered, "connections": made}
    rows = table(output, "connections")
    assert all(row["opened"] is not None and row["closed"] is not None for row in rows)
    figure(f"churn: {made:,} connections in {took:.1f} s, {found['events']:,} events, nothing lost")


@pytest.mark.soak
def test_a_thousand_open_connections_are_recorded_and_nothing_is_lost(
    output: Path, figure: Figure
) -> None:
    seconds = min(SECONDS, 30)
    with memcached(threads=4, memory=256, arguments=("-c", "4096")) as server:
        moved = Moved(server)
        with recorder(output, [server.port], "--no-stats") as running:
            with several(server.port, 2, OPEN // 2, 4) as clients:
                done = kept_busy(clients, seconds, lambda _: None)
            server.wait_for_connections(0)
            running.stop().expect(0)
        found = balanced(output, moved.bytes())
    assert found == {"events": done["operations"], "connections": OPEN}
    figure(f"open connections: {OPEN:,}, {found['events']:,} events in {seconds:g} s, nothing lost")


def kept_busy(clients: list[Load], seconds: float, look: Callable[[float], None]) -> dict[str, int]:
    """Let clients run, calling `look` once a second; return their counts."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        assert all(client.runs for client in clients)
        look(passed)
        time.sleep(min(1.0, seconds - passed))
    return total([client.end() for client in clients])


def resident(pid: int) -> int:
    """Return the resident memory of a process, bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.soak
def test_at_the_highest_rate_nothing_is_lost_and_memory_stays_flat(
    server: Memcached, output: Path, figure: Figure
) -> None:
    memory: list[tuple[float, int]] = []
    moved = Moved(server)
    with recorder(output, [server.port], "--no-stats", "--max-size", "100G") as running:
        with several(server.port, 2, 10, 32) as clients:
            done = kept_busy(
                clients, SECONDS, lambda passed: memory.append((passed, resident(running.pid)))
            )
        server.wait_for_connections(0)
        ended = running.stop()
    rate = done["operations"] / SECONDS
    sizes = [size for _, size in memory]
    settled = [size for passed, size in memory if passed >= min(60, SECONDS / 5)]
    figure(
        f"highest rate: {done['operations']:,} operations in {SECONDS:g} s, {rate:,.0f}/s; "
        f"memory {sizes[0] / MB:.0f} MB first, {sizes[-1] / MB:.0f} last, {max(sizes) / MB:.0f} "
        f"peak; {ended.json['cost']['ns_per_event']:.0f} ns CPU an event, "
        f"{ended.json['cost']['bytes_per_event']:.2f} B"
    )
    assert max(settled) - settled[0] < GROWTH, memory
    ended.expect(0)
    found = balanced(output, moved.bytes())
    assert found["events"] == done["operations"]


class Attempt:
    """A recorder that was killed at some moment, and the kernel objects it held."""

    def __init__(self, output: Path, port: int, after: float, *, loading: bool) -> None:
        """Start a recorder and kill it `after` seconds, counted from its start or first load."""
        self.output = output
        with starting(output, [port], "--no-stats") as running:
            if loading:
                until(lambda: kernel_objects_of(running.pid), "the recorder loading")
            begun = time.monotonic()
            until(
                lambda: time.monotonic() - begun > after or running.process.poll() is not None,
                "the moment of the kill",
                deadline=after + DEADLINE,
            )
            assert running.process.poll() is None, running.stderr_text()
            # Stopped first, so that the list of what it holds stays true.
            running.freeze()
            self.held = kernel_objects_of(running.pid)
            running.kill()

    @property
    def moment(self) -> str:
        """Phase in which the recorder was killed."""
        if not self.held:
            return "before loading"
        if not any(one.kind == "link_id" for one in self.held):
            return "loading"
        return "recording" if (self.output / "manifest.json").exists() else "attaching"

    def must_leave_nothing(self) -> None:
        """Fail unless its kernel objects go away, and its profile opens if there is one."""
        wait_until_gone(self.held, f"a recorder killed {self.moment}")
        if self.output.exists():
            info = read_info(self.output)
            assert info["state"] == "recording"
            assert info["ledger"] is None


@pytest.mark.parametrize(
    "kills", [5, pytest.param(KILLS, marks=pytest.mark.soak)], ids=["few", "many"]
)
def test_killed_recorders_leave_nothing_and_clients_notice_nothing(
    server: Memcached, tmp_path: Path, kills: int, figure: Figure
) -> None:
    chance = random.Random(kills)
    moments: dict[str, int] = {}
    before = server.stats()
    begun = time.monotonic()
    with load(server.port, 8, 8) as client:
        starts, loads = durations(tmp_path / "measured.mb", server.port)
        for number in range(kills):
            # Spread evenly over the whole start, or over loading, attaching and the first events.
            share = 1.25 * (number + chance.random()) / kills
            output = tmp_path / f"killed-{number}.mb"
            attempt = (
                Attempt(output, server.port, share * starts, loading=False)
                if number % 2
                else Attempt(output, server.port, share * loads, loading=True)
            )
            attempt.must_leave_nothing()
            assert client.runs
            moments[attempt.moment] = moments.get(attempt.moment, 0) + 1
        done = client.end()
    after_all = server.stats()
    assert (after_all["pid"], int(after_all["cmd_get"]) > int(before["cmd_get"])) == (
        before["pid"],
        True,
    )
    rate = done["operations"] / (time.monotonic() - begun)
    figure(
        f"kills: {kills} at {rate:,.0f} operations/s, {json.dumps(moments)}; nothing left in the "
        f"kernel, every profile opens, no client saw an error"
    )


def durations(output: Path, port: int) -> tuple[float, float]:
    """Measure the time to a recorder's first event, from its start and its first program, s."""
    with starting(output, [port], "--no-stats") as running:
        begun = time.monotonic()
        until(lambda: kernel_objects_of(running.pid), "the recorder loading")
        loading = time.monotonic()
        until(lambda: list(output.glob("events-*")), "the first events")
        ended = time.monotonic()
    return ended - begun, ended - loading
