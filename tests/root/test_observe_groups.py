"""The account by worker, command and connection: each grouping sums to the whole."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping

import pytest

import membench
from membench.errors import UsageError
from support.answers import answer
from support.cli import membench as cli
from support.server import Memcached, connect, memcached
from support.waiting import until

pytestmark = [pytest.mark.root]

#: Requests of each kind, with the begins of their answers and the class that these tell.
MIX = [
    (b"get x\r\n", b"END\r\n", "get", 40),
    (b"set x 0 0 1\r\n1\r\n", b"STORED\r\n", "store", 30),
    (b"incr x 1\r\n", b"\r\n", "count", 20),
    (b"mg x v\r\n", b"\r\n", "meta", 10),
    (b"delete nothing\r\n", b"NOT_FOUND\r\n", "other", 5),
]


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


def observing(server: Memcached, *by: str) -> membench.Observation:
    """Observe a server from its next request on, by groups."""
    observed = membench.observe(requests=True, ports=[server.port], interval_s=None, by=by)
    observed.take()
    return observed


def finished(observed: membench.Observation) -> tuple[membench.ObserveInterval, membench.Account]:
    """End an observation; return what it counted since it was last asked."""
    observed.stop()
    interval = observed.take()
    assert interval.account is not None
    return interval, interval.account


def summed(parts: list[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums over mappings with the same keys."""
    return {name: sum(one[name] for one in parts) for name in parts[0]}


def test_each_class_of_commands_has_its_requests_and_all_sum_to_the_account(
    server: Memcached,
) -> None:
    with observing(server, "command") as observed, connect(server.port) as client:
        for request, end, _, amount in MIX:
            for _ in range(amount):
                answer(client, request, end)
        interval, account = finished(observed)
    assert interval.commands is not None
    assert interval.misses is not None
    found = {one.command: one.account for one in interval.commands}
    lost = interval.misses.lost + interval.misses.unseen
    for _, _, command, amount in MIX:
        assert amount - lost <= found[command].requests <= amount
    # The server's own question for the counters is one of `stats`.
    assert found.keys() - {command for _, _, command, _ in MIX} <= {"stats"}
    assert sum(one.requests for one in found.values()) == account.requests
    assert summed([one.parts_ns for one in found.values()]) == account.parts_ns
    for one in found.values():
        assert sum(one.parts_ns.values()) == one.whole_ns
        assert 0 < one.quantiles["whole"].p50_ns <= one.quantiles["whole"].max_ns


def test_nothing_is_counted_twice_from_one_interval_to_the_next(server: Memcached) -> None:
    amounts = []
    with (
        observing(server, "command", "connection") as observed,
        connect(server.port) as client,
    ):
        answer(client, b"version\r\n", b"\r\n")
        observed.take()
        name = "{}:{}".format(*client.getsockname())
        for amount in (7, 0, 11):
            for _ in range(amount):
                answer(client, b"get x\r\n")
            interval = observed.take()
            assert interval.commands is not None
            assert interval.connections is not None
            gets = [one.account.requests for one in interval.commands if one.command == "get"]
            own = [one.requests for one in interval.connections.busiest if one.client == name]
            assert gets == own
            amounts += gets or [0]
    assert amounts == [7, 0, 11]


def test_each_connection_has_its_requests_its_bytes_and_its_worker(server: Memcached) -> None:
    rounds = (50, 20, 5)
    with observing(server, "connection") as observed:
        clients = [connect(server.port) for _ in rounds]
        for client, amount in zip(clients, rounds, strict=True):
            for _ in range(amount):
                answer(client, b"get x\r\n")
        names = ["{}:{}".format(*client.getsockname()) for client in clients]
        interval, account = finished(observed)
        for client in clients:
            client.close()
    assert interval.connections is not None
    assert interval.misses is not None
    lost = interval.misses.lost
    found = {one.client: one for one in interval.connections.busiest}
    for name, amount in zip(names, rounds, strict=True):
        one = found[name]
        assert amount - lost <= one.requests <= amount
        assert one.request_bytes == one.requests * len(b"get x\r\n")
        assert one.answer_bytes == one.requests * len(b"END\r\n")
        assert sum(one.parts_ns.values()) == one.whole_ns
        assert one.whole.p50_ns <= one.whole.max_ns <= 1.07 * one.whole_ns
        assert (one.port, one.process) == (server.port, server.pid)
        assert one.thread in {worker.thread for worker in interval.workers}
        assert one.retransmits == 0
    requests = sum(one.requests for one in found.values())
    assert requests + interval.connections.other_requests == account.requests
    whole = sum(one.whole_ns for one in found.values())
    assert whole + interval.connections.other_whole_ns == account.whole_ns


def test_the_connections_with_the_most_time_are_listed_and_the_others_are_summed(
    server: Memcached,
) -> None:
    amount = 30
    with observing(server, "connection") as observed:
        clients = [connect(server.port) for _ in range(amount)]
        for client in clients:
            answer(client, b"get x\r\n")
        interval, account = finished(observed)
        for client in clients:
            client.close()
    assert interval.connections is not None
    busiest = interval.connections.busiest
    assert len(busiest) == 20
    times = [one.whole_ns for one in busiest]
    assert times == sorted(times, reverse=True)
    requests = sum(one.requests for one in busiest)
    assert requests + interval.connections.other_requests == account.requests
    assert interval.misses is not None
    assert interval.connections.others >= amount - 20 - interval.misses.lost


def socket_line(server: Memcached, client: socket.socket) -> str:
    """Return what `ss` tells of a server's end of a connection."""
    port = client.getsockname()[1]
    chosen = f"( sport = :{server.port} and dport = :{port} )"
    command = ["ss", "-tinOH", chosen]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def round_trip_us(server: Memcached, client: socket.socket) -> int:
    """Return what TCP has measured on a connection once all is acknowledged, µs."""
    until(lambda: "unacked:" not in socket_line(server, client), "the acknowledgement")
    words = socket_line(server, client).split()
    (written,) = [word for word in words if word.startswith("rtt:")]
    return round(float(written.removeprefix("rtt:").partition("/")[0]) * 1000)


def test_the_round_trip_of_a_connection_is_what_the_kernel_says(server: Memcached) -> None:
    with observing(server, "connection") as observed, connect(server.port) as client:
        for _ in range(10):
            answer(client, b"get x\r\n")
        before = round_trip_us(server, client)
        answer(client, b"get x\r\n")
        after = round_trip_us(server, client)
        name = "{}:{}".format(*client.getsockname())
        interval, _ = finished(observed)
    assert interval.connections is not None
    (one,) = [one for one in interval.connections.busiest if one.client == name]
    # An answer can be acknowledged before its send returns.
    assert one.round_trip_ns // 1000 in {before, after}
    assert before > 0


def test_the_sums_of_the_workers_are_those_of_the_account(server: Memcached) -> None:
    def ask() -> None:
        with connect(server.port) as client:
            for _ in range(200):
                answer(client, b"get x\r\n")

    with observing(server) as observed:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        interval, account = finished(observed)
    assert summed([one.parts_ns for one in interval.workers]) == account.parts_ns
    for one in interval.workers:
        assert sum(one.parts_ns.values()) == one.whole_ns
    busy = [one for one in interval.workers if one.requests]
    assert len(busy) == server.threads
    longest = max(one.quantiles["whole"].max_ns for one in busy)
    assert longest == account.quantiles["whole"].max_ns
    assert (interval.commands, interval.connections) == (None, None)


def test_a_report_has_a_table_of_each_group(server: Memcached) -> None:
    with connect(server.port) as client:
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer(client, b"get x\r\n")

        asking = threading.Thread(target=ask)
        asking.start()
        groups = ["--by", "worker", "--by", "command", "--by", "connection"]
        try:
            told = cli("observe", "--requests", "--port", str(server.port), *groups, "-d", "1s")
        finally:
            stop.set()
            asking.join()
        name = "{}:{}".format(*client.getsockname())
    lines = told.stdout.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert [line for line in lines if line.startswith("get ")]
    assert [line for line in lines if line.startswith(name)]
    heads = ("worker ", "command ", "client ")
    for head in heads:
        assert [line for line in lines if line.startswith(head)]


def test_groups_without_requests_or_by_other_names_are_refused(server: Memcached) -> None:
    with pytest.raises(UsageError, match="grouped, and none are observed"):
        membench.observe(ports=[server.port], by=["command"])
    with pytest.raises(UsageError, match="not grouped by `key`") as refused:
        membench.observe(requests=True, ports=[server.port], by=["key"])
    assert "command" in (refused.value.hint or "")
    told = cli("observe", "--by", "command", "-d", "1s").expect(UsageError.exit_code)
    assert "--requests" in told.stderr
