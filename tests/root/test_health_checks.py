"""Connections that are opened and closed without a byte, as load balancers' health checks are."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import recorder
from support.profile import table
from support.server import Memcached, connect

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
