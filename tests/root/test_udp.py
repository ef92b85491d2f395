"""memcached's UDP port: requests and responses in datagrams, exact to the byte."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.calls import Messages
from support.cli import Completed, read_info, read_ledger, recorder
from support.datagrams import Datagrams
from support.ports import free_port
from support.profile import by_connection, events, table
from support.requests import read, store
from support.server import Memcached, memcached
from support.waiting import until
from support.workload import Connection, in_threads, value_of

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

#: Frame header of a request in a single datagram.
FRAME = bytes([0, 7, 0, 0, 0, 1, 0, 0])
GET = b"get absent-here\r\n"
CLIENTS = 6
ROUNDS = 60


class Recorded(NamedTuple):
    """A recording, its clients, and the bytes that memcached counted."""

    profile: Path
    clients: list[Datagrams]
    stream: Connection
    moved: tuple[int, int]
    recording: Completed


@pytest.fixture(scope="module")
def at_port() -> Iterator[Memcached]:
    """Start a memcached that also takes datagrams on its port."""
    port = free_port()
    with memcached(port=port, threads=4, memory=256, arguments=("-U", str(port))) as server:
        yield server


def talk(client: Datagrams, name: int) -> None:
    """Perform everything that a client can do over UDP."""
    key = b"key-%d-" % name + b"k" * name
    large = b"large-%d" % name
    for turn in range(ROUNDS):
        client.get(key)
        client.set(key, b"v" * (turn * 10))
        client.get(key, b"absent-%d" % turn, key)
        client.get(large)


def exchange(server: Memcached, profile: Path, *options: str) -> Recorded:
    """Record clients over UDP, all at once, and one over TCP."""
    stream = Connection(server.port, 0)
    large = b"large-%d"
    stream.perform(
        *(store("set", large % name, value_of(large % name, 20_000)) for name in range(CLIENTS))
    )
    stream.log.clear()
    before = server.settled_stats()
    with recorder(profile, [server.port], "--no-stats", *options) as running:
        hosts = ["127.0.0.1", "::1"]
        clients = [Datagrams(server.port, hosts[name % 2]) for name in range(CLIENTS)]
        in_threads([lambda name=name: talk(clients[name], name) for name in range(CLIENTS)])
        stream.perform(read("get", [large % 0]))
        recording = running.stop()
    after = server.settled_stats()
    moved = [int(after[name]) - int(before[name]) for name in ("bytes_read", "bytes_written")]
    for client in clients:
        client.close()
    return Recorded(profile, clients, stream, (moved[0], moved[1]), recording)


@pytest.fixture(scope="module", params=["server", "client"])
def recorded(
    request: pytest.FixtureRequest,
    at_port: Memcached,
    hooks: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Recorded:
    """Record the exchange once at each end."""
    profile = tmp_path_factory.mktemp("udp") / "udp.mb"
    return exchange(at_port, profile, "--hooks", hooks, "--side", request.param)


@pytest.mark.quick
def test_every_byte_of_every_datagram_is_in_the_ledger(recorded: Recorded) -> None:
    recorded.recording.expect(0)
    ledger = read_ledger(recorded.profile)
    assert (ledger["request_bytes"], ledger["response_bytes"]) == recorded.moved
    assert (ledger["complete"], ledger["boundary"], ledger["udp"]) == (True, 0, 0), ledger
    seen = [
        sum(one[direction]["seen"] for one in ledger["servers"])
        for direction in ("request", "response")
    ]
    assert tuple(seen) == recorded.moved


@pytest.mark.quick
def test_events_of_each_client_are_what_it_did_in_order(recorded: Recorded) -> None:
    found = by_connection(events(recorded.profile))
    rows = table(recorded.profile, "connections")
    of_datagrams = [row["connection"] for row in rows if row["transport"] == "udp"]
    assert len(of_datagrams) == CLIENTS
    columns = ("command", "key_size", "outcome", "value_size")
    events_found = sorted(
        [tuple(row[name] for name in columns) for row in found[connection]]
        for connection in of_datagrams
    )
    done = sorted(
        [tuple(getattr(one, name) for name in columns) for one in client.log]
        for client in recorded.clients
    )
    assert events_found == done


@pytest.mark.quick
def test_clients_are_identified_by_address_and_one_uses_tcp(recorded: Recorded) -> None:
    rows = table(recorded.profile, "connections")
    assert sorted(row["transport"] for row in rows) == ["tcp4"] + ["udp"] * CLIENTS
    assert len({row["client"] for row in rows}) == 2, "127.0.0.1 and ::1"
    assert {(row["lost_bytes"], row["resyncs"]) for row in rows} == {(0, 0)}


@pytest.mark.quick
def test_requests_of_one_datagram_share_a_batch(recorded: Recorded) -> None:
    found = by_connection(events(recorded.profile))
    assert found
    for rows in found.values():
        batches = [row["batch"] for row in sorted(rows, key=lambda row: row["request"])]
        assert batches == sorted(batches)
        assert all(row["server_time"] is not None for row in rows)


@pytest.mark.parametrize("responses", ["none", "lengths"])
def test_requests_are_whole_whatever_is_looked_at_of_responses(
    at_port: Memcached, tmp_path: Path, hooks: str, responses: str
) -> None:
    options = ("--responses", responses, "--hooks", hooks)
    less = exchange(at_port, tmp_path / "less.mb", *options)
    info = read_info(less.profile)
    done = [one.command for client in less.clients for one in client.log]
    assert info["commands"] == {"get": done.count("get") + 1, "set": done.count("set")}
    assert info["ledger"]["request_bytes"] == less.moved[0]


def test_datagrams_that_memcached_drops_are_counted_and_no_event(
    at_port: Memcached, output: Path, hooks: str
) -> None:
    """Send a request that claims to be one of several, and one too short for its header."""
    client = Datagrams(at_port.port)
    with recorder(output, [at_port.port], "--no-stats", "--hooks", hooks) as running:
        client.get(b"before")
        client.send(b"get dropped\r\n", total=2)
        client.send(b"")
        client.get(b"after")
        running.stop().expect(0)
    client.close()
    assert [row["key_size"] for row in events(output)] == [len(b"before"), len(b"after")]
    ledger = read_ledger(output)
    assert ledger["boundary"] == 8 + len(b"get dropped\r\n") + 8
    assert ledger["request_bytes"] == client.sent_bytes


def test_a_request_without_a_response_belongs_to_the_peer_of_its_call(
    output: Path, hooks: str
) -> None:
    """Compare the hooks: `syscalls` reads the peer at once, `sockets` at the thread's next call."""
    port = free_port()
    with memcached(port=port, threads=1, arguments=("-U", str(port))):
        one, two = Datagrams(port), Datagrams(port)
        with recorder(output, [port], "--no-stats", "--hooks", hooks) as running:
            one.set(b"first", b"v", noreply=True)
            two.get(b"second")
            two.set(b"last-of-all", b"v", noreply=True)
            one.get(b"again")
            one.set(b"nobody-reads-on", b"v", noreply=True)
            until(one.was_read, "the last datagram being read")
            running.stop().expect(0)
        one.close()
        two.close()
    sizes = sorted(
        [row["key_size"] for row in rows] for rows in by_connection(events(output)).values()
    )
    told = {"sockets": [[5, 5], [6, 11], [15]], "syscalls": [[5, 5, 15], [6, 11]]}
    assert sizes == told[hooks], "the last one's peer is not told to a socket's tracepoint"


Send = Callable[[socket.socket, bytes], object]
Receive = Callable[[socket.socket], bytes]


def _readv(peer: socket.socket) -> bytes:
    buffers = [bytearray(11), bytearray(4096)]
    length = os.readv(peer.fileno(), buffers)
    return b"".join(map(bytes, buffers))[:length]


def _sendmmsg(peer: socket.socket, data: bytes) -> object:
    return Messages([[bytearray(data[:3]), bytearray(data[3:])]]).send(peer.fileno())


def _recvmmsg(peer: socket.socket) -> bytes:
    buffers = [bytearray(11), bytearray(4096)]
    peer.recv(1, socket.MSG_PEEK)  # `recvmmsg` is called with MSG_DONTWAIT
    (length,) = Messages([buffers]).receive(peer.fileno())
    return b"".join(map(bytes, buffers))[:length]


@pytest.mark.parametrize(
    ("send", "receive", "losing"),
    [
        (lambda peer, data: peer.send(data), lambda peer: peer.recv(4096), ()),
        (
            lambda peer, data: peer.sendmsg([data[:3], data[3:]]),
            lambda peer: peer.recvmsg(4096)[0],
            (),
        ),
        (lambda peer, data: os.writev(peer.fileno(), [data[:3], data[3:]]), _readv, ()),
        (_sendmmsg, _recvmmsg, ("sockets",)),
    ],
    ids=["send, recv", "sendmsg, recvmsg", "writev, readv", "sendmmsg, recvmmsg"],
)
def test_every_call_of_a_connected_client_is_recorded_or_counted(
    at_port: Memcached,
    output: Path,
    hooks: str,
    send: Send,
    receive: Receive,
    losing: Iterable[str],
) -> None:
    request, moved = FRAME + GET, 0
    with (
        recorder(
            output, [at_port.port], "--no-stats", "--side", "client", "--hooks", hooks
        ) as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        peer.connect(("127.0.0.1", at_port.port))
        for _ in range(ROUNDS):
            send(peer, request)
            moved += len(receive(peer))
        running.stop().expect(4 if hooks in losing else 0)
    ledger = read_ledger(output)
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (ROUNDS * len(request), moved)
    if hooks in losing:
        assert ledger["other_syscall"] == ROUNDS * len(request) + moved
        return
    assert [row["outcome"] for row in events(output)] == ["miss"] * ROUNDS
    assert ledger["complete"] is True


def test_datagrams_of_an_unconnected_client_are_counted_apart(
    at_port: Memcached, output: Path, hooks: str
) -> None:
    request, there = FRAME + GET, ("127.0.0.1", at_port.port)
    elsewhere = free_port()
    with (
        recorder(
            output, [at_port.port], "--no-stats", "--side", "client", "--hooks", hooks
        ) as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        peer.sendto(request, there)
        peer.sendmsg([request[:9], request[9:]], [], 0, there)
        peer.sendto(b"nobody", ("127.0.0.1", elsewhere))
        assert [peer.recv(4096) for _ in range(2)] == [FRAME + b"END\r\n"] * 2
        running.stop().expect(4)
    ledger = read_ledger(output)
    assert ledger["udp"] == 2 * len(request)
    assert events(output) == []


def _queued(port: int) -> int:
    """Return the size of a port's receive queue, as the kernel counts it."""
    rows = (row.split() for row in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}"))


def test_several_datagrams_a_call_are_recorded_or_counted(output: Path, hooks: str) -> None:
    """Let a server receive two requests in one call, and send two responses in another."""
    frames = [FRAME, b"\0\x08" + FRAME[2:]]
    requests, answers = ([frame + words for frame in frames] for words in (GET, b"END\r\n"))
    port = free_port()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        recorder(output, [port], "--no-stats", "--wait", "--hooks", hooks) as running,
    ):
        server.bind(("127.0.0.1", port))
        client.connect(server.getsockname())
        client.send(requests[0])
        one = until(lambda: _queued(port), "a request")
        client.send(requests[1])
        until(lambda: _queued(port) == 2 * one, "another")
        peer = client.getsockname()
        taken = Messages([[bytearray(64)] for _ in range(2)], peer).receive(server.fileno())
        assert taken == list(map(len, requests))
        Messages([[bytearray(answer)] for answer in answers], peer).send(server.fileno())
        assert [client.recv(64) for _ in answers] == answers
        running.stop().expect(4 if hooks == "sockets" else 0)
    ledger = read_ledger(output)
    moved = (len(b"".join(requests)), len(b"".join(answers)))
    assert (ledger["request_bytes"], ledger["response_bytes"]) == moved
    assert ledger["other_syscall"] == (sum(moved) if hooks == "sockets" else 0)
    outcomes = [row["outcome"] for row in events(output)]
    assert outcomes == ([] if hooks == "sockets" else ["miss"] * 2)
