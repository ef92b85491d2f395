"""`--side client`: traffic recorded in the applications that send it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.calls import Messages
from support.cli import membench, read_ledger, recorder
from support.mixed import CONNECTIONS, Mixed, record_mixed
from support.oracle import compare
from support.profile import by_connection, events, table
from support.requests import read, store
from support.server import Memcached, memcached
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

CLIENT = ("--no-stats", "--side", "client")
ROUNDS = 6
FROZEN_S = 0.1


@pytest.fixture(scope="module")
def sent(hooks: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    """Record the mixed workload once, at its clients."""
    with memcached(threads=4, memory=1024) as server:
        folder = tmp_path_factory.mktemp("client")
        yield record_mixed(server, folder / "client.mb", "--side", "client", "--hooks", hooks)


@pytest.mark.quick
def test_clients_sent_and_got_what_memcached_read_and_wrote(sent: Mixed) -> None:
    sent.recording.expect(0)
    ledger = sent.info["ledger"]
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (
        sent.request_bytes,
        sent.response_bytes,
    )
    assert (ledger["complete"], ledger["boundary"]) == (True, 0), ledger


@pytest.mark.quick
def test_events_are_what_the_clients_did(sent: Mixed) -> None:
    assert compare(sent.connections, sent.events) == []


@pytest.mark.quick
def test_each_connection_is_there_once_and_names_its_server(sent: Mixed) -> None:
    rows = table(sent.profile, "connections")
    assert sorted(row["transport"] for row in rows) == ["tcp4"] * CONNECTIONS + ["tcp6"]
    assert sum(row["opened"] is None for row in rows) == 1
    servers = sent.info["ledger"]["servers"]
    assert {one["address"] for one in servers} == {"127.0.0.1", "::1"}
    assert {one["pid"] for one in servers} == {0}


def test_info_says_whose_times_are_recorded(sent: Mixed) -> None:
    assert sent.info["time_basis"] == "send"
    shown = membench("info", sent.profile).expect(0).stdout
    assert "of the client's sends; server time is the service time at the client" in " ".join(
        shown.split()
    )
    answered = [
        row
        for rows in sent.events.values()
        for row in rows
        if row["outcome"] not in (None, "suppressed")
    ]
    assert answered
    assert all(row["server_time"] is not None for row in answered)


def test_the_time_a_client_waits_is_in_its_service_time(server: Memcached, output: Path) -> None:
    connection = Connection(server.port, 0)
    with recorder(output, [server.port], *CLIENT) as running:
        connection.mark()
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            server.freeze()
            peer.sendall(b"get waits\r\n")
            time.sleep(FROZEN_S)
            server.thaw()
            assert peer.recv(64) == b"END\r\n"
        running.stop().expect(0)
    (waited,) = [row for row in events(output) if row["key_size"] == len(b"waits")]
    assert waited["server_time"] >= FROZEN_S * 1e9


Call = Callable[[socket.socket, bytes], object]


def _readv(peer: socket.socket) -> bytes:
    buffers = [bytearray(7), bytearray(4096)]
    length = os.readv(peer.fileno(), buffers)
    return b"".join(map(bytes, buffers))[:length]


def _sendmmsg(peer: socket.socket, data: bytes) -> object:
    return Messages([[bytearray(data[:3]), bytearray(data[3:])]]).send(peer.fileno())


def _recvmmsg(peer: socket.socket) -> bytes:
    buffers = [bytearray(7), bytearray(4096)]
    peer.recv(1, socket.MSG_PEEK)  # `recvmmsg` is called with MSG_DONTWAIT
    (length,) = Messages([buffers]).receive(peer.fileno())
    return b"".join(map(bytes, buffers))[:length]


@pytest.mark.parametrize(
    ("send", "receive"),
    [
        (lambda peer, data: peer.send(data), lambda peer: peer.recv(4096)),
        (
            lambda peer, data: os.write(peer.fileno(), data),
            lambda peer: os.read(peer.fileno(), 1 << 20),
        ),
        (
            lambda peer, data: peer.sendmsg([data[:3], data[3:]]),
            lambda peer: peer.recvmsg(4096)[0],
        ),
        (
            lambda peer, data: os.writev(peer.fileno(), [data[:3], data[3:]]),
            _readv,
        ),
        (_sendmmsg, _recvmmsg),
    ],
    ids=["send, recv", "write, read", "sendmsg, recvmsg", "writev, readv", "sendmmsg, recvmmsg"],
)
def test_every_call_of_a_client_is_recorded(
    server: Memcached,
    output: Path,
    hooks: str,
    send: Call,
    receive: Callable[[socket.socket], bytes],
) -> None:
    value = b"v" * 700
    with (
        recorder(output, [server.port], *CLIENT, "--hooks", hooks) as running,
        socket.create_connection(("127.0.0.1", server.port)) as peer,
    ):
        for number in range(ROUNDS):
            send(peer, b"set key-%d 0 0 %d\r\n%s\r\n" % (number, len(value), value))
            assert receive(peer) == b"STORED\r\n"
            send(peer, b"get key-%d\r\n" % number)
            assert receive(peer).endswith(value + b"\r\nEND\r\n")
        running.stop().expect(0)
    rows = sorted(events(output), key=lambda row: row["request"])
    assert [row["outcome"] for row in rows] == ["stored", "hit"] * ROUNDS
    assert {row["value_size"] for row in rows} == {len(value)}
    ledger = read_ledger(output)
    assert ledger["complete"] is True


def test_requests_sent_before_earlier_ones_are_answered_are_paired(
    server: Memcached, output: Path, hooks: str
) -> None:
    with (
        recorder(output, [server.port], *CLIENT, "--hooks", hooks) as running,
        socket.create_connection(("127.0.0.1", server.port)) as peer,
    ):
        peer.sendall(b"set there 0 0 1\r\nx\r\n")
        for _ in range(ROUNDS):
            peer.sendall(b"get absent\r\n")
            peer.sendall(b"get there\r\n")
        expected = b"STORED\r\n" + b"END\r\nVALUE there 0 1\r\nx\r\nEND\r\n" * ROUNDS
        received = b""
        while len(received) < len(expected):
            received += peer.recv(4096)
        assert received == expected
        running.stop().expect(0)
    rows = sorted(events(output), key=lambda row: row["request"])
    assert [row["outcome"] for row in rows] == ["stored"] + ["miss", "hit"] * ROUNDS


def test_on_loopback_each_side_counts_its_own_end_only(server: Memcached, tmp_path: Path) -> None:
    one, two = tmp_path / "client.mb", tmp_path / "server.mb"
    with (
        recorder(one, [server.port], *CLIENT) as clients,
        recorder(two, [server.port], "--no-stats") as servers,
    ):
        connection = Connection(server.port, 0)
        connection.mark()
        for number in range(ROUNDS):
            connection.perform(store("set", b"k%d" % number, b"v" * 10))
            connection.perform(read("get", [b"k%d" % number]))
        clients.stop().expect(0)
        servers.stop().expect(0)
    for profile in (one, two):
        assert compare([connection], by_connection(events(profile))) == []
        ledger = read_ledger(profile)
        assert (ledger["request_bytes"], ledger["response_bytes"]) == (
            connection.sent_bytes,
            connection.received_bytes,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--responses", "lengths"], "arbitrary chunks")],
)
def test_options_that_need_the_server_side_are_refused(
    output: Path, options: list[str], message: str
) -> None:
    ended = membench("record", "ebpf:any", output, "--side", "client", *options).expect(2)
    assert message in ended.stderr
