"""Servers that use every system call: bytes are recorded, or counted by cause."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from support.calls import Compat, Messages, Uring
from support.cli import read_ledger
from support.kernel import needs_sockets
from support.profile import table
from support.recorded_pair import (
    ANSWER,
    LENGTH,
    REQUEST,
    Receive,
    Send,
    assert_complete,
    balanced_ledger,
    events_in_order,
    recorded_pair,
)
from support.redirected import Redirected

pytestmark = [pytest.mark.root, pytest.mark.kernel]

ROUNDS = 6
#: Outcomes after a lost request and response: the next response may belong to either request.
AFTER_LOST_ANSWER = ["miss", None, "miss"]


def _vectors(size: int) -> list[bytearray]:
    return [bytearray(5), bytearray(size - 5)]


def _readv(server: socket.socket) -> bytes:
    buffers = _vectors(4096)
    length = os.readv(server.fileno(), buffers)
    return b"".join(map(bytes, buffers))[:length]


def _recvmsg(server: socket.socket) -> bytes:
    buffers = _vectors(4096)
    length, *_ = server.recvmsg_into(buffers)
    return b"".join(map(bytes, buffers))[:length]


def _recvmmsg(server: socket.socket) -> bytes:
    buffers = _vectors(4096)
    (length,) = Messages([buffers]).receive(server.fileno())
    return b"".join(map(bytes, buffers))[:length]


def _sendmmsg(server: socket.socket, data: bytes) -> object:
    return Messages([[bytearray(data)]]).send(server.fileno())


@pytest.mark.parametrize(
    ("receive", "send"),
    [
        (
            lambda server: os.read(server.fileno(), 4096),
            lambda to, data: os.write(to.fileno(), data),
        ),
        (lambda server: server.recv(4096), lambda to, data: to.send(data)),
        (_readv, lambda to, data: os.writev(to.fileno(), [data[:2], data[2:]])),
        (_recvmsg, lambda to, data: to.sendmsg([data[:2], data[2:]])),
        (_recvmmsg, _sendmmsg),
    ],
    ids=["read, write", "recv, send", "readv, writev", "recvmsg, sendmsg", "recvmmsg, sendmmsg"],
)
def test_bytes_of_every_call_are_recorded(
    output: Path, hooks: str, receive: Receive, send: Send
) -> None:
    with recorded_pair(output, "--hooks", hooks) as pair:
        for number in range(ROUNDS):
            pair.ask(number)
            assert receive(pair.server) == REQUEST % number
            pair.answer(ANSWER, send)
        pair.recorder.stop().expect(0)
    assert_complete(output, pair, ROUNDS)


@pytest.mark.quick
def test_each_message_of_a_call_is_found(output: Path, hooks: str) -> None:
    """Move three messages a call through an array of four, and use the array again."""
    buffers = [[bytearray(LENGTH)] for _ in range(4)]
    incoming = Messages(buffers)
    outgoing = Messages([[bytearray(b"EN"), bytearray(b"D\r\n")] for _ in range(3)])
    with recorded_pair(output, "--hooks", hooks) as pair:
        for turn in range(ROUNDS):
            numbers = range(turn % 4, turn % 4 + 3)
            pair.ask(*numbers)
            assert incoming.receive(pair.server.fileno()) == [LENGTH] * 3
            assert [bytes(one) for (one,) in buffers[:3]] == [REQUEST % each for each in numbers]
            pair.answer(ANSWER * 3, lambda to, _: outgoing.send(to.fileno()))
        pair.recorder.stop().expect(0)
    assert_complete(output, pair, ROUNDS * 3)
    assert len({row["key"] for row in events_in_order(output)}) == 6, "the keys 0 to 5"


@pytest.mark.parametrize("responses", ["lengths", "none"])
def test_messages_are_counted_whatever_is_looked_at_of_responses(
    output: Path, hooks: str, responses: str
) -> None:
    incoming = Messages([[bytearray(LENGTH)] for _ in range(4)])
    outgoing = Messages([[bytearray(b"EN"), bytearray(b"D\r\n")] for _ in range(3)])
    with recorded_pair(output, "--hooks", hooks, "--responses", responses) as pair:
        for _ in range(ROUNDS):
            pair.ask(1, 2, 3)
            assert incoming.receive(pair.server.fileno()) == [LENGTH] * 3
            pair.answer(ANSWER * 3, lambda to, _: outgoing.send(to.fileno()))
        pair.recorder.stop().expect(0)
    outcomes = {row["outcome"] for row in events_in_order(output)}
    assert outcomes == {"miss" if responses == "lengths" else None}
    found = read_ledger(output)
    assert (found["request_bytes"], found["response_bytes"]) == (pair.sent, pair.answered)
    assert found["complete"] is True


def test_messages_of_a_call_with_a_timeout_are_found_where_its_result_is_known(
    output: Path,
) -> None:
    incoming = Messages([[bytearray(LENGTH)] for _ in range(4)])
    with recorded_pair(output, "--hooks", "syscalls") as pair:
        for _ in range(ROUNDS):
            pair.ask(1, 2)
            assert incoming.receive(pair.server.fileno(), timeout_s=5) == [LENGTH] * 2
            pair.answer(ANSWER * 2)
        pair.recorder.stop().expect(0)
    assert_complete(output, pair, ROUNDS * 2)


@pytest.mark.quick
def test_more_messages_than_programs_follow_are_a_hole_of_that_size(output: Path) -> None:
    """Send one byte a message: the chain of programs reads 256 messages of a call."""
    count = 600
    outgoing = Messages([[bytearray(b"x")] for _ in range(count)])
    with recorded_pair(output, "--hooks", "syscalls") as pair:
        pair.exchange(0)
        pair.ask(1)
        assert pair.server.recv(LENGTH) == REQUEST % 1
        pair.answer(b"x" * count, lambda to, _: outgoing.send(to.fileno()))
        pair.exchange(2)
        pair.recorder.stop().expect(4)
    assert balanced_ledger(output, pair)["record_limit"] == count - 256


@needs_sockets
def test_messages_without_a_known_boundary_are_counted(output: Path) -> None:
    """Give the call a timeout: it may return early, so the socket hooks cannot count messages."""
    incoming = Messages([[bytearray(LENGTH)] for _ in range(4)])
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(1, 2)
        assert incoming.receive(pair.server.fileno(), timeout_s=5) == [LENGTH] * 2
        pair.answer(ANSWER * 2)
        pair.exchange(3)
        pair.recorder.stop().expect(4)
    assert balanced_ledger(output, pair)["other_syscall"] == 2 * LENGTH
    assert [row["outcome"] for row in events_in_order(output)] == ["miss"] * 2
    assert [(row["cause"], row["bytes"]) for row in table(output, "losses")] == [
        ("other_syscall", 2 * LENGTH)
    ]


@pytest.mark.quick
@needs_sockets
def test_bytes_moved_by_io_uring_are_counted_apart(output: Path) -> None:
    try:
        ring = Uring()
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(1)
        assert ring.receive(pair.server.fileno(), 4096) == REQUEST % 1
        pair.answer(ANSWER, lambda to, data: ring.send(to.fileno(), data))
        pair.exchange(2)
        pair.exchange(3)
        pair.recorder.stop().expect(4)
    ring.close()
    assert balanced_ledger(output, pair)["io_uring"] == LENGTH + len(ANSWER)
    assert [row["outcome"] for row in events_in_order(output)] == AFTER_LOST_ANSWER


@needs_sockets
def test_bytes_moved_by_a_kernel_thread_are_counted_apart(output: Path) -> None:
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(1)
        assert pair.server.recv(LENGTH) == REQUEST % 1
        try:
            way = Redirected(pair.server)
        except OSError as error:
            pytest.skip(f"no sockmap here: {error}")
        pair.answer(ANSWER, way.send)
        pair.exchange(2)
        pair.exchange(3)
        pair.recorder.stop().expect(4)
        way.close()
    assert balanced_ledger(output, pair)["kernel_thread"] == len(ANSWER)
    assert [row["outcome"] for row in events_in_order(output)] == ["miss", None, None, "miss"]


@pytest.mark.quick
def test_bytes_of_a_32_bit_call_are_counted_apart(output: Path, hooks: str) -> None:
    try:
        compat = Compat()
    except OSError as error:
        pytest.skip(f"no 32-bit calls here: {error}")
    with recorded_pair(output, "--hooks", hooks) as pair:
        pair.exchange(0)
        pair.ask(1)
        try:
            assert compat.read(pair.server.fileno(), 4096) == REQUEST % 1
        except OSError as error:
            pytest.skip(f"no 32-bit calls here: {error}")
        pair.answer(ANSWER)
        pair.exchange(2)
        pair.recorder.stop().expect(4)
    if hooks == "syscalls":  # 32-bit calls have numbers of their own, which these hooks ignore
        found = read_ledger(output)
        assert (found["missed"], found["request_bytes"]) == (LENGTH, 2 * LENGTH)
        return
    assert balanced_ledger(output, pair)["compat_task"] == LENGTH
    assert [row["outcome"] for row in events_in_order(output)] == ["miss"] * 2


def test_peeking_counts_nothing_twice(output: Path, hooks: str) -> None:
    with recorded_pair(output, "--hooks", hooks) as pair:
        for number in range(ROUNDS):
            pair.ask(number)
            assert pair.server.recv(4096, socket.MSG_PEEK) == REQUEST % number
            assert pair.server.recv(4096) == REQUEST % number
            pair.answer(ANSWER)
        pair.recorder.stop().expect(0)
    assert_complete(output, pair, ROUNDS)


def test_a_close_that_arrives_with_the_last_bytes_is_no_gap(output: Path, hooks: str) -> None:
    with recorded_pair(output, "--hooks", hooks) as pair:
        pair.exchange(0)
        pair.ask(1)
        pair.client.shutdown(socket.SHUT_WR)
        assert pair.server.recv(LENGTH, socket.MSG_WAITALL) == REQUEST % 1
        assert pair.server.recv(1) == b""
        pair.answer(ANSWER)
        pair.recorder.stop().expect(0)
    assert_complete(output, pair, 2)


@pytest.mark.quick
def test_bytes_spliced_out_of_a_socket_are_missed_and_reported(output: Path) -> None:
    out, into = os.pipe()
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(1)
        assert os.splice(pair.server.fileno(), into, 4096) == LENGTH
        pair.answer(ANSWER)
        pair.exchange(2)
        pair.recorder.stop().expect(4)
    os.close(out)
    os.close(into)
    found = read_ledger(output)
    assert found["missed"] == LENGTH == found["servers"][0]["request"]["missed"]
    assert found["request_bytes"] == 2 * LENGTH


@pytest.mark.quick
@pytest.mark.parametrize("place", ["first", "last"])
def test_bytes_that_no_call_moved_are_missed_at_either_end_of_a_connection(
    output: Path, hooks: str, place: str
) -> None:
    out, into = os.pipe()
    with recorded_pair(output, "--hooks", hooks) as pair:
        if place == "last":
            pair.exchange(0)
        pair.ask(1)
        assert os.splice(pair.server.fileno(), into, 4096) == LENGTH
        pair.answer(ANSWER)
        if place == "first":
            pair.exchange(2)
        pair.client.close()
        pair.server.close()
        pair.recorder.stop().expect(4)
    os.close(out)
    os.close(into)
    found = read_ledger(output)
    assert found["missed"] == LENGTH == found["servers"][0]["request"]["missed"]
    assert (found["request_bytes"], found["response_bytes"]) == (LENGTH, 2 * len(ANSWER))
    (row,) = table(output, "losses")
    assert (row["cause"], row["bytes"]) == ("missed", LENGTH)


def _splice(server: socket.socket, data: bytes) -> None:
    out, into = os.pipe()
    os.write(into, data)
    assert os.splice(out, server.fileno(), len(data)) == len(data)
    os.close(out)
    os.close(into)


def _sendfile(server: socket.socket, data: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        assert os.sendfile(server.fileno(), file.fileno(), 0, len(data)) == len(data)


@pytest.mark.parametrize("send", [_splice, _sendfile], ids=["splice", "sendfile"])
def test_bytes_sent_without_a_buffer_are_counted_apart(output: Path, send: Send) -> None:
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(1)
        assert pair.server.recv(4096) == REQUEST % 1
        pair.answer(ANSWER, send)
        pair.exchange(2)
        pair.exchange(3)
        pair.recorder.stop().expect(4)
    assert balanced_ledger(output, pair)["other_syscall"] == len(ANSWER)
    assert [row["outcome"] for row in events_in_order(output)] == ["miss", None, None, "miss"]
