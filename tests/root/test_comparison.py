"""memcached's own counters beside a recording: what they lack, resets, what no hook saw."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import pytest

from support.cli import Recorder, recorder
from support.kernel import all_hooks
from support.ports import free_port
from support.server import Memcached, connect, memcached
from support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Options under which both kinds of hooks are tried.
HOOKS = [("--hooks", kind) for kind in all_hooks()]
DATA_LOST = 4
MB = 1 << 20
#: Most clients of a server that is to refuse one.
FEW = 64


def asked(running: Recorder) -> bool:
    """Return true once the servers' counters at the start are in the manifest."""
    manifest = json.loads((running.output / "manifest.json").read_text())
    return bool(manifest.get("statistics_start"))


def ask(endpoint: int, request: bytes, end: bytes) -> bytes:
    """Send a request on a connection of its own and return its answer, which ends so."""
    with connect(endpoint) as peer:
        peer.sendall(request)
        answer = b""
        while not answer.endswith(end):
            received = peer.recv(65536)
            assert received, answer
            answer += received
    return answer


def apart(recording: dict[str, list[dict[str, int]]]) -> list[dict[str, int]]:
    """Return the counters that differ."""
    return [one for one in recording["differences"] if one["server"] != one["recorded"]]


def test_what_no_worker_of_memcached_writes_is_not_a_difference(output: Path) -> None:
    with (
        memcached(threads=2, arguments=("-c", str(FEW))) as server,
        recorder(output, [server.port]) as running,
    ):
        until(lambda: asked(running), "the counters at the start")
        for number in range(50):
            ask(server.port, b"set key-%d 0 0 5\r\nvalue\r\n" % number, b"STORED\r\n")
        dumped = ask(server.port, b"lru_crawler metadump all\r\n", b"END\r\n")
        assert dumped.count(b"key=") == 50
        with connect(server.port) as watcher:
            watcher.sendall(b"watch fetchers mutations\r\n")
            assert watcher.recv(4) == b"OK\r\n"
            ask(server.port, b"get key-1\r\n", b"END\r\n")
            assert b"key-1" in watcher.recv(65536)
        held = [connect(server.port) for _ in range(FEW)]
        until(lambda: refused(server.port), "a refused client")
        for peer in held:
            peer.close()
        server.wait_for_connections(1)  # the recorder's
        recording = running.stop().expect(0).json
    assert recording["ledger"]["complete"] is True
    assert len(recording["differences"]) == 2
    assert apart(recording) == []


def refused(port: int) -> bool:
    """Return true if a client is one too many."""
    with connect(port) as peer:
        peer.settimeout(0.2)
        try:
            return peer.recv(100) == b"ERROR Too many open connections\r\n"
        except TimeoutError:
            return False


@pytest.mark.parametrize("where", ["recorded", "elsewhere"])
def test_counters_that_are_reset_meanwhile_are_not_compared(output: Path, where: str) -> None:
    port, other = free_port(), free_port()
    listening = ("-l", f"127.0.0.1:{port},127.0.0.1:{other}")
    with memcached(threads=2, port=port, arguments=listening) as server:
        ask(port, b"set large 0 0 %d\r\n%s\r\n" % (MB // 2, b"v" * (MB // 2)), b"STORED\r\n")
        with recorder(output, [server.port]) as running:
            until(lambda: asked(running), "the counters at the start")
            ask(port, b"get none\r\n", b"END\r\n")
            ask(port if where == "recorded" else other, b"stats reset\r\n", b"RESET\r\n")
            ask(port, b"get none\r\n", b"END\r\n")
            ended = running.stop().expect(0)
    assert ended.json["ledger"]["complete"] is True
    assert (ended.json["differences"], ended.json["counters_reset"]) == ([], 1)


@pytest.mark.kernel
@pytest.mark.parametrize("hooks", HOOKS, ids=lambda hooks: str(hooks[1]))
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_what_only_the_server_counted_makes_a_recording_incomplete(
    server: Memcached, output: Path, hooks: tuple[str, str], reset: bool
) -> None:
    ask(server.port, b"set large 0 0 5000\r\n%s\r\n" % (b"v" * 5000), b"STORED\r\n")
    with recorder(output, [server.port], *hooks) as running:
        until(lambda: asked(running), "the counters at the start")
        for _ in range(20):
            with connect(server.port) as client:
                client.sendall(b"mn\r\n")
                assert client.recv(100) == b"MN\r\n"
                server.freeze()
                client.sendall(b"get large\r\n" * 20)
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.thaw()
        server.wait_for_connections(1)  # the recorder's
        ended = running.stop()
    differing = apart(ended.json)
    unseen = sum(max(0, one["server"] - one["recorded"]) for one in differing)
    # A socket tells what had moved as it ended; only the server tells what moved after that.
    missed = ended.json["ledger"]["missed"]
    assert missed >= unseen
    assert ended.code == (DATA_LOST if missed else 0)
    assert ended.json["ledger"]["complete"] is (missed == 0)
    if hooks[1] == "sockets":
        assert missed == 0
