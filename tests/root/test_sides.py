"""Clients whose own port is a followed one: the other end of a connection is nobody's server."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.cli import read_ledger, recorder
from support.ports import free_port
from support.profile import events
from support.server import memcached
from support.waiting import DEADLINE

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel, pytest.mark.quick]

#: Frame header of a datagram that is the only one of its message.
FRAME = bytes([0, 7, 0, 0, 0, 1, 0, 0])


def connected(own: int, port: int) -> socket.socket:
    """Connect from a port of one's own."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.settimeout(DEADLINE)
    client.bind(("127.0.0.1", own))
    client.connect(("127.0.0.1", port))
    return client


def ask(client: socket.socket) -> None:
    """Ask for what is not there."""
    client.sendall(b"get absent\r\n")
    assert client.recv(4096) == b"END\r\n"


@pytest.mark.parametrize("side", ["server", "client"])
def test_the_other_end_of_a_connection_is_not_followed(output: Path, hooks: str, side: str) -> None:
    own, followed, other = free_port(), free_port(), free_port()
    options = ("--no-stats", "--hooks", hooks, "--side", side)
    with (
        memcached(port=followed),
        memcached(port=other),
        connected(own, other) as before,
    ):
        ask(before)
        with recorder(output, [own, followed], *options) as running:
            ask(before)
            before.close()
            with socket.create_connection(("127.0.0.1", followed), DEADLINE) as usual:
                ask(usual)
            later = connected(own, followed)
            ask(later)
            later.close()
            running.stop().expect(0)
    # Of the two connections to the followed port, each end is one side's.
    assert [row["outcome"] for row in events(output)] == ["miss"] * 2
    ledger = read_ledger(output)
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (2 * 12, 2 * 5)
    assert ledger["complete"]


@pytest.mark.parametrize("bound", [True, False], ids=["bound", "chosen"])
def test_a_server_with_a_backlog_of_0_is_followed_and_no_client_is(
    output: Path, hooks: str, bound: bool
) -> None:
    followed, other = free_port(), free_port()

    def connect_elsewhere() -> socket.socket:
        if bound:
            return connected(free_port(), other)
        return socket.create_connection(("127.0.0.1", other), DEADLINE)  # which chooses a port

    with (
        memcached(port=followed, arguments=("-b", "0")),
        memcached(port=other),
        socket.create_connection(("127.0.0.1", followed), DEADLINE) as before,
        connect_elsewhere() as elsewhere,
    ):
        ask(before)
        ports = [elsewhere.getsockname()[1], followed]
        with recorder(output, ports, "--no-stats", "--hooks", hooks) as running:
            ask(before)
            ask(elsewhere)
            with socket.create_connection(("127.0.0.1", followed), DEADLINE) as later:
                ask(later)
            running.stop().expect(0)
    assert [row["outcome"] for row in events(output)] == ["miss"] * 2
    ledger = read_ledger(output)
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (2 * 12, 2 * 5)
    assert ledger["complete"]


def test_a_clients_socket_for_datagrams_at_a_followed_port_is_no_servers(
    output: Path, hooks: str
) -> None:
    own, other = free_port(), free_port()
    with (
        memcached(port=other, arguments=("-U", str(other))),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        recorder(output, [own, other], "--no-stats", "--hooks", hooks) as running,
    ):
        client.settimeout(DEADLINE)
        client.bind(("127.0.0.1", own))
        client.connect(("127.0.0.1", other))
        client.send(FRAME + b"get absent\r\n")
        assert client.recv(4096) == FRAME + b"END\r\n"
        running.stop().expect(0)
    (miss,) = events(output)
    assert (miss["command"], miss["outcome"]) == ("get", "miss")
    ledger = read_ledger(output)
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (8 + 12, 8 + 5)
    assert ledger["complete"]
