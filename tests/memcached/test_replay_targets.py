"""Targets of a replay: a path on this machine, an address of IPv6."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import membench
from support.cli import membench as run
from support.server import memcached

pytestmark = pytest.mark.memcached

SEALED = Path(__file__).parents[1] / "data" / "sealed"


def test_a_server_at_a_path_gets_what_one_at_a_port_gets(tmp_path: Path) -> None:
    path = tmp_path / "memcached.sock"
    with memcached() as at_port, memcached(path=path) as at_path:
        over_tcp = membench.replay(SEALED, at_port.address, pacing="speed=0.5")
        over_unix = membench.replay(SEALED, f"unix:{path}", pacing="speed=0.5")
        counted = at_path.settled_stats()
    assert over_unix.answered == over_tcp.answered > 0
    assert over_unix.errors == 0
    # Which of two connections comes first, and so what is a hit, may differ.
    done = [
        {name: sum(outcomes.values()) for name, outcomes in result.outcomes.replayed.items()}
        for result in (over_unix, over_tcp)
    ]
    assert done[0] == done[1]
    assert over_unix.target.name == f"unix:{path}"
    assert over_unix.server is not None
    assert over_unix.server.bytes_agree
    gets = sum(over_unix.outcomes.replayed.get("get", {}).values())
    assert int(counted["cmd_get"]) >= gets > 0
    # Sockets of this machine carry no stamps of the network.
    assert over_unix.wire_ns.count == over_unix.client_ns.count == 0
    assert over_unix.service_ns.count > 0


def test_a_path_without_a_server_is_told_with_a_remedy(tmp_path: Path) -> None:
    told = run("replay", SEALED, f"unix:{tmp_path}/none.sock").expect(5).stderr
    assert "No such file" in told
    assert "memcached -s PATH" in " ".join(told.split())
    assert "unix:PATH" in run("replay", SEALED, "unix:").expect(2).stderr


def test_a_server_that_takes_no_connection_is_told_in_time(tmp_path: Path) -> None:
    path = tmp_path / "full.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(path))
        listener.listen(0)
        waiting.connect(str(path))
        told = run("replay", SEALED, f"unix:{path}").expect(5).stderr
    assert "timed out" in told.lower()


def test_an_address_of_ipv6_is_a_target() -> None:
    with memcached() as server:
        result = membench.replay(SEALED, f"[::1]:{server.port}")
    assert result.answered > 0
    assert result.errors == 0
