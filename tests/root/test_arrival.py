"""Arrival times of requests, told apart from the times a stopped server read them."""

from __future__ import annotations

import math
import socket
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from support.cli import membench, recorder
from support.profile import Row, events
from support.requests import read
from support.server import Memcached, memcached
from support.waiting import DEADLINE
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

#: Exit code of a recording that lost data.
DATA_LOST = 4
CONNECTIONS = 24
ROUNDS = 5
FROZEN_S = 0.1
#: Error of an arrival, ns: the kernel dates it in jiffies if an acknowledgement followed it.
SLACK_NS = 1e6 + time.clock_getres(getattr(time, "CLOCK_MONOTONIC_COARSE", 6)) * 1e9


class Sent(NamedTuple):
    """Interval in which a request was handed to the kernel, ns since the epoch."""

    before: int
    after: int


class Sender:
    """A client that sends each request when told to and reads the response later."""

    def __init__(self, server: Memcached) -> None:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def send(self, number: int) -> Sent:
        """Send a `get` of a key of `number` bytes."""
        before = time.time_ns()
        self._socket.sendall(b"get " + b"k" * number + b"\r\n")
        return Sent(before, time.time_ns())

    def receive(self) -> None:
        """Read the response to one request."""
        assert self._answers.readline() == b"END\r\n"

    def close(self) -> None:
        """Close it."""
        self._answers.close()
        self._socket.close()


def perform(server: Memcached) -> list[Sent]:
    """Send one request a connection during each stop of the server; key sizes count up."""
    senders = [Sender(server) for _ in range(CONNECTIONS)]
    sent: list[Sent] = []
    for _ in range(ROUNDS):
        server.freeze()
        for sender in senders:
            sent.append(sender.send(len(sent) + 1))
            time.sleep(FROZEN_S / CONNECTIONS)
        server.thaw()
        for sender in senders:
            sender.receive()
    for sender in senders:
        sender.close()
    return sent


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Sent]]:
    """Record a server that is stopped repeatedly; return also when requests were sent."""
    profile = tmp_path_factory.mktemp("stopped") / "stopped.mb"
    with memcached() as server, recorder(profile, [server.port], "--no-stats") as running:
        sent = perform(server)
        running.stop().expect(0)
    return profile, sent


def arrived_ns(row: Row) -> float:
    """Return the arrival of an event's request, ns since the epoch."""
    return row["time"].timestamp() * 1e9 - row["queue_time"] * 1e3


def off_by_more(stopped: tuple[Path, list[Sent]], slack_ns: float) -> list[tuple[int, float]]:
    """Return arrivals outside the interval of their send: key size, distance to its end, ns."""
    profile, sent = stopped
    rows = sorted(events(profile), key=lambda row: row["key_size"])
    assert len(rows) == len(sent)
    return [
        (row["key_size"], arrived_ns(row) - between.after)
        for row, between in zip(rows, sent, strict=True)
        if not between.before - slack_ns <= arrived_ns(row) <= between.after + slack_ns
    ]


@pytest.mark.quick
def test_arrivals_are_known_although_the_server_was_stopped(
    stopped: tuple[Path, list[Sent]],
) -> None:
    # Dated by their reads, three in four would be off by more.
    assert len(off_by_more(stopped, FROZEN_S * 1e9 / 4)) <= len(stopped[1]) // 10


@pytest.mark.soak
def test_arrivals_are_exact_but_for_a_jiffy(stopped: tuple[Path, list[Sent]]) -> None:
    off = off_by_more(stopped, SLACK_NS)
    assert len(off) <= len(stopped[1]) // 100, off


def test_the_wait_for_a_stopped_server_is_queue_time(
    stopped: tuple[Path, list[Sent]],
) -> None:
    profile, _ = stopped
    waited = [row["queue_time"] for row in events(profile)]
    assert max(waited) >= FROZEN_S * 1e6 / 2
    queue = membench("analyze", profile, "--format", "json").expect(0).json["times"]["queue_ns"]
    assert queue["max"] >= max(waited) * 500


#: Most replays to try: a busy machine may delay sends by more than the difference measured.
ATTEMPTS = 5


def test_a_replay_is_scheduled_by_arrivals(
    stopped: tuple[Path, list[Sent]], tmp_path: Path
) -> None:
    profile, sent = stopped
    spreads = []
    # Scheduled by its read, a request would be off by its wait: evenly between 0 and the stop.
    while not spreads or (spreads[-1] >= FROZEN_S * 1e9 / 8 and len(spreads) < ATTEMPTS):
        spreads.append(spread_of_replay(profile, sent, tmp_path / f"again-{len(spreads)}.mb"))
    assert spreads[-1] < FROZEN_S * 1e9 / 8, spreads


def spread_of_replay(profile: Path, sent: list[Sent], again: Path) -> float:
    """Replay a profile; return the median deviation of its sends from the common shift, ns.

    Infinite if the recorder got no CPU for seconds and lost requests.
    """
    with memcached() as target, recorder(again, [target.port], "--no-stats") as running:
        report = membench("replay", profile, target.address, "--format", "json")
        assert report.code in (0, 4), report.stderr
        ended = running.stop()
    if ended.code == DATA_LOST:
        return math.inf
    ended.expect(0)
    gets = [row for row in events(again) if row["command"] == "get"]
    rows = sorted(gets, key=lambda row: row["key_size"])
    recorded = [between.before - sent[0].before for between in sent]
    replayed = [arrived_ns(row) - arrived_ns(rows[0]) for row in rows]
    differences = [a - b for a, b in zip(recorded, replayed, strict=True)]
    middle = statistics.median(differences)
    return statistics.median(abs(one - middle) for one in differences)


def test_requests_of_one_write_share_their_arrival(tmp_path: Path) -> None:
    profile = tmp_path / "together.mb"
    with memcached() as server, recorder(profile, [server.port], "--no-stats") as running:
        connection = Connection(server.port, 0)
        before = time.time_ns()
        connection.perform(*(read("get", [b"together-%d" % number]) for number in range(5)))
        after = time.time_ns()
        running.stop().expect(0)
    arrivals = [arrived_ns(row) for row in events(profile)]
    assert len(arrivals) == 5
    assert all(before - SLACK_NS <= arrival <= after + SLACK_NS for arrival in arrivals)
    assert max(arrivals) - min(arrivals) < 2e3


@pytest.mark.quick
def test_without_arrivals_the_recording_is_whole_and_says_so(output: Path, hooks: str) -> None:
    with (
        memcached() as server,
        recorder(output, [server.port], "--no-arrival", "--hooks", hooks) as running,
    ):
        client = Sender(server)
        for number in range(1, ROUNDS + 1):
            client.send(number)
            client.receive()
        client.close()
        running.stop().expect(0)
    rows = events(output)
    assert [(row["outcome"], row["queue_time"]) for row in rows] == [("miss", None)] * ROUNDS
    assert all(row["server_time"] is not None for row in rows)
    info = membench("info", output, "--format", "json").expect(0).json
    assert (info["arrival"], info["ledger"]["complete"]) == (False, True)
    assert "without arrivals" in membench("info", output).expect(0).stdout
