"""The hooks of a recording: the kernel's default or those asked for, and named everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.cli import membench, read_info, recorder
from support.kernel import default_hooks
from support.server import Memcached, memcached
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

#: Tracepoints of each kind of hooks.
HOOKS = {
    "sockets": {
        "sock_recv_length",
        "sock_send_length",
        "inet_sock_set_state",
        "tcp_rcv_space_adjust",
    },
    "syscalls": {"sys_exit", "inet_sock_set_state", "tcp_rcv_space_adjust"},
}


def test_a_recording_names_the_hooks_that_were_asked_for(
    server: Memcached, output: Path, hooks: str
) -> None:
    with recorder(output, [server.port], "--hooks", hooks) as running:
        assert f"{hooks} hooks, kernel" in running.stderr_text()
        running.stop().expect(0)
    assert read_info(output)["hooks"] == hooks


def test_only_the_programs_of_its_hooks_are_attached(
    server: Memcached, output: Path, hooks: str
) -> None:
    with recorder(output, [server.port], "--hooks", hooks) as running:
        assert running.tracepoints() == HOOKS[hooks]


def test_doctor_names_the_hooks_that_are_used_by_default() -> None:
    sources = json.loads(membench("doctor", "--format", "json").stdout)["sources"]
    (sockets,) = (one for one in sources if one["source"] == "ebpf:any")
    assert (sockets["works"], sockets["why"].split(":")[0]) == (True, default_hooks())


def test_unknown_hooks_are_refused(output: Path) -> None:
    refused = membench("record", "ebpf:any", output, "--hooks", "kprobes").expect(2)
    assert "sockets" in refused.stderr
    assert not output.exists()


def test_connections_that_come_and_go_are_each_their_own(output: Path, hooks: str) -> None:
    """Make the kernel reuse the addresses of closed sockets."""
    rounds = 200
    with (
        memcached() as server,
        recorder(output, [server.port], "--no-stats", "--hooks", hooks) as running,
    ):
        for _ in range(rounds):
            connection = Connection(server.port, 0)
            connection.mark()
            connection.close()
        server.wait_for_connections(0)
        running.stop().expect(0)
    info = read_info(output)
    assert (info["connections"], info["ledger"]["complete"]) == (rounds, True)
