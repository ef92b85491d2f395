"""Connections that are opened and closed without a byte, as load balancers' health checks are."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.cli import recorder
from support.profile import table
from support.server import Memcached, connect, memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

CHECKS = 20


def test_health_checks_are_counted_apart_and_were_not_open_at_the_start(
    output: Path, hooks: str, server: Memcached
) -> None:
    with connect(server.port) as used, connect(server.port):
        used.sendall(b"version\r\n")
        assert used.recv(4096)
        with recorder(output, [server.port], "--hooks", hooks, "--no-stats") as running:
            for _ in range(CHECKS):
                connect(server.port).close()
            server.wait_for_connections(2)
            used.sendall(b"get a\r\n")
            assert used.recv(4096) == b"END\r\n"
            recording = running.stop().expect(0).json
    assert recording["connections"] == CHECKS + 1
    assert recording["silent_connections"] == CHECKS
    assert recording["open_at_start"] == 1
    rows = table(output, "connections")
    assert sum(row["opened"] is None for row in rows) == 1
    assert all(row["opened"] <= row["closed"] for row in rows if row["opened"] is not None)


@pytest.mark.quick
def test_a_check_that_asks_and_leaves_at_once_was_not_open_at_the_start(
    output: Path, hooks: str
) -> None:
    """Let the first read take the request and the FIN behind it at once."""
    with memcached(threads=1) as server, ExitStack() as stack:
        with connect(server.port) as client:
            client.sendall(b"version\r\n")
            answer = client.recv(4096)
        server.wait_for_connections(0)
        options = ("--hooks", hooks, "--no-stats")
        running = stack.enter_context(recorder(output, [server.port], *options))
        server.freeze()
        for _ in range(CHECKS):
            with connect(server.port) as client:
                client.sendall(b"version\r\n")
                client.shutdown(socket.SHUT_WR)
        server.thaw()
        server.wait_for_connections(0)
        ended = running.stop()
    recording, ledger = ended.json, ended.json["ledger"]
    assert recording["connections"] == CHECKS
    assert recording["open_at_start"] == 0
    # A reset ends the connection during the send. System calls that return then are on no port.
    assert ledger["response_bytes"] + ledger["missed"] == CHECKS * len(answer)
    ended.expect(4 if ledger["missed"] else 0)
    assert hooks == "syscalls" or ledger["missed"] == 0
    assert all(row["opened"] is not None for row in table(output, "connections"))
