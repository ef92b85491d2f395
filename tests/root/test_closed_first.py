"""Bytes read after TCP has closed a socket: part of the connection, or counted apart."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cli import read_ledger, recorder
from support.kernel import needs_sockets
from support.profile import events, table
from support.recorded_pair import ANSWER, LENGTH, REQUEST, events_in_order
from support.server import Memcached, connect
from support.waiting import DEADLINE, let_pass, until

pytestmark = [pytest.mark.root, pytest.mark.kernel]

CLIENT = ("--no-stats", "--side", "client")
STORE = b"set reset-%d 0 0 5\r\nhello\r\n"
TCP_CLOSE = 7
#: Time after its close for which a connection is kept, s.
WAITED_S = 1.0


def reset_at_close(end: socket.socket) -> None:
    """Make `close` send a reset instead of a FIN."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def unread(listening: socket.socket, *, reset: bool) -> Iterator[socket.socket]:
    """Yield a client with an unread response on a connection that TCP has closed."""
    with socket.create_connection(listening.getsockname(), DEADLINE) as client:
        server, _ = listening.accept()
        with server:
            client.sendall(REQUEST % 1)
            assert server.recv(4096) == REQUEST % 1
            if reset:
                reset_at_close(server)
            else:
                client.shutdown(socket.SHUT_WR)
                assert server.recv(4096) == b""
            server.sendall(ANSWER)
        state = (socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        until(lambda: client.getsockopt(*state) == bytes([TCP_CLOSE]), "TCP closing it")
        yield client


@needs_sockets
@pytest.mark.parametrize("reset", [False, True], ids=["a side closed first", "reset"])
def test_an_answer_that_is_read_after_the_connection_was_closed_is_its_own(
    output: Path, reset: bool
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        recorder(output, [listening.getsockname()[1]], *CLIENT) as running,
    ):
        with unread(listening, reset=reset) as client:
            assert client.recv(4096) == ANSWER
        running.stop().expect(0)
    assert [row["outcome"] for row in events_in_order(output)] == ["miss"]
    assert read_ledger(output)["response_bytes"] == len(ANSWER)
    (connection,) = table(output, "connections")
    assert connection["closed"] is not None


@needs_sockets
def test_bytes_read_long_after_the_close_are_counted_apart(output: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        recorder(output, [listening.getsockname()[1]], *CLIENT) as running,
    ):
        with unread(listening, reset=False) as client:
            let_pass(WAITED_S + 0.1)
            # The close of another connection tells the recorder how much time has passed.
            with unread(listening, reset=False) as another:
                assert another.recv(4096) == ANSWER
            assert client.recv(4096) == ANSWER
        running.stop().expect(4)
    found = read_ledger(output)
    assert (found["orphaned"], found["complete"]) == (len(ANSWER), False)
    assert (found["request_bytes"], found["response_bytes"]) == (2 * LENGTH, 2 * len(ANSWER))
    (server,) = found["servers"]
    assert server["response"]["seen"] == len(ANSWER)
    assert sorted(str(row["outcome"]) for row in events_in_order(output)) == ["None", "miss"]


@needs_sockets
def test_bytes_read_from_reset_connections_are_in_the_ledger(
    server: Memcached, output: Path
) -> None:
    before = int(server.settled_stats()["bytes_read"])
    stored = [(b"reset-%d" % number, STORE % number) for number in range(3)]
    with recorder(output, [server.port], "--no-stats") as running:
        for _, request in stored:
            with connect(server.port) as client:
                client.sendall(REQUEST % 1)
                assert client.recv(4096) == ANSWER
                server.freeze()
                client.sendall(request)
                reset_at_close(client)
            server.thaw()
        with connect(server.port) as client:
            asked = b"get " + b" ".join(key for key, _ in stored) + b"\r\n"
            client.sendall(asked)
            assert client.recv(4096).count(b"VALUE") == len(stored)
        running.stop().expect(0)
    moved = sum(LENGTH + len(request) for _, request in stored) + len(asked)
    found = read_ledger(output)
    assert (found["request_bytes"], found["complete"]) == (moved, True), found
    assert int(server.settled_stats()["bytes_read"]) - before >= moved
    assert [row["command"] for row in events(output)].count("set") == len(stored)
