"""Separation of traffic: every server on the given ports, through restarts, and no other."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import read_info, read_ledger, recorder
from support.oracle import compare
from support.ports import free_port
from support.profile import by_connection, events, table
from support.requests import read, store
from support.server import Memcached, memcached
from support.waiting import DEADLINE, until
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

REQUESTS = 40


def ask(port: int, ordinal: int) -> Connection:
    """Open a marked connection and perform a few requests."""
    connection = Connection(port, ordinal)
    connection.mark()
    for number in range(REQUESTS):
        connection.perform(store("set", b"k%d" % number, b"v" * 20), read("get", [b"k%d" % number]))
    return connection


@contextlib.contextmanager
def ask_on(port: int) -> Iterator[list[Connection]]:
    """Ask on one connection after the other, from a thread, until the block ends."""
    made: list[Connection] = []
    end = threading.Event()

    def work() -> None:
        while not end.wait(0.01):
            made.append(ask(port, len(made)))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield made
    finally:
        end.set()
        thread.join()


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """Start a TCP server that is no memcached and echoes what it receives."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(DEADLINE)  # closing a socket does not end `accept`

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer, _ = listening.accept()
                with peer:
                    while received := peer.recv(65536):
                        peer.sendall(received)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
    thread.join()


def chat(port: int) -> None:
    """Send memcached commands to a server that is none, and through a pair of UNIX sockets."""
    left, right = socket.socketpair()
    with socket.create_connection(("127.0.0.1", port)) as peer, left, right:
        for words in (b"get elsewhere\r\n", b"set elsewhere 0 0 3\r\nabc\r\n"):
            peer.sendall(words)
            assert peer.recv(len(words), socket.MSG_WAITALL) == words
            left.sendall(words)
            assert right.recv(len(words), socket.MSG_WAITALL) == words


@pytest.mark.quick
def test_other_servers_and_other_sockets_give_no_event(server: Memcached, output: Path) -> None:
    with (
        memcached() as other,
        echo() as port,
        recorder(output, [server.port], "--no-stats") as running,
    ):
        wanted = ask(server.port, 1)
        ask(other.port, 2)
        chat(port)
        running.stop().expect(0)
    assert compare([wanted], by_connection(events(output))) == []
    ledger = read_ledger(output)
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (
        wanted.sent_bytes,
        wanted.received_bytes,
    )


def test_a_server_restarted_while_recording_is_followed(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port], "--no-stats") as running:
        before = ask(server.port, 1)
        server.restart()
        after = ask(server.port, 2)
        running.stop().expect(0)
    own = {
        number: rows
        for number, rows in by_connection(events(output)).items()
        if rows[0]["command"] != "stats"  # sent by the tests until memcached answers
    }
    assert compare([before, after], own) == []


def test_two_servers_stay_apart(server: Memcached, output: Path) -> None:
    with (
        memcached() as second,
        recorder(output, [server.port, second.port], "--no-stats") as running,
    ):
        made = [ask(server.port, 1), ask(second.port, 2), ask(server.port, 3)]
        running.stop().expect(0)
    assert compare(made, by_connection(events(output))) == []
    servers = read_ledger(output)["servers"]
    moved = {one["port"]: (one["request"]["seen"], one["response"]["seen"]) for one in servers}
    assert moved == {
        server.port: (
            made[0].sent_bytes + made[2].sent_bytes,
            made[0].received_bytes + made[2].received_bytes,
        ),
        second.port: (made[1].sent_bytes, made[1].received_bytes),
    }
    by_server = sorted([row["server"] for row in table(output, "connections")])
    assert sorted(by_server.count(number) for number in set(by_server)) == [1, 2]


def test_a_port_without_a_memcached_is_waited_for_and_reported(output: Path) -> None:
    port = free_port()
    with recorder(output, [port], "--no-stats", "--wait") as running:
        until(lambda: "waiting" in running.stderr_text(), "a word about waiting")
        with memcached(port=port):
            made = ask(port, 1)
            running.stop().expect(0)
    marked = {
        number: rows
        for number, rows in by_connection(events(output)).items()
        if rows[0]["command"] == "get"
    }
    assert compare([made], marked) == []


def test_a_duration_ends_and_seals_the_recording_amid_requests(
    server: Memcached, output: Path
) -> None:
    with recorder(output, [server.port], "--duration", "4") as running, ask_on(server.port) as made:
        running.wait().expect(0)
    info = read_info(output)
    assert info["state"] == "sealed"
    assert info["stopped_by"] == "duration"
    assert info["ledger"]["complete"]
    assert info["duration_s"] >= 4
    # On a busy machine, few of the requests or none fall into the recording's four seconds.
    assert info["commands"].get("set", 0) <= len(made) * REQUESTS
