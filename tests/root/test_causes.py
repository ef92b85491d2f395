"""Every way to lose bytes, provoked: each has a counter of its own, and the ledger balances."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import termios
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import membench as library
from support.cli import read_ledger, recorder
from support.kernel import default_hooks
from support.namespace import namespace
from support.profile import events
from support.recorded_pair import (
    ANSWER,
    LENGTH,
    REQUEST,
    balanced_ledger,
    events_in_order,
    recorded_pair,
)
from support.requests import read
from support.server import Memcached
from support.waiting import DEADLINE, until
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.kernel]

DATA_LOST = 4
SO_RCVBUFFORCE = 33
#: Largest number of buffers of one call (IOV_MAX).
MOST_BUFFERS = 1024
#: Largest number of records of one call, and bytes kept in each.
RECORDS, RECORD_BYTES = 17, 16_384
OPTMEM = Path("/proc/sys/net/core/optmem_max")

#: Terms of the ledger that count bytes.
BYTES = {
    "ring_full", "missed", "record_limit", "other_syscall", "io_uring", "kernel_thread",
    "compat_task", "fault", "no_state", "udp", "other_family", "unattended", "orphaned",
    "late", "truncated", "unsynced",
}  # fmt: skip


def only(found: dict[str, Any], **expected: int) -> None:
    """Fail unless exactly these bytes were lost, each in its own counter."""
    assert {name: found[name] for name in sorted(BYTES) if found[name]} == expected
    assert found["complete"] is False


def waiting(server: socket.socket, size: int) -> bool:
    """Return true if at least `size` bytes wait to be received."""
    queued = fcntl.ioctl(server.fileno(), termios.FIONREAD, bytes(4))
    return bool(struct.unpack("i", queued)[0] >= size)


def test_a_call_of_more_buffers_than_its_records_hold_is_cut_and_counted(output: Path) -> None:
    size = 400 * MOST_BUFFERS
    request = b"".join(REQUEST % number for number in range(size // LENGTH))
    request = b"get " + b"k" * (200 - 6) + b"\r\n" + request[: size - 200 - size % LENGTH]
    buffers = [bytearray(400) for _ in range(MOST_BUFFERS)]
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 * size)
        sending = threading.Thread(target=pair.client.sendall, args=(request,))
        sending.start()
        until(lambda: waiting(pair.server, len(request)), "the request")
        sending.join()
        pair.sent += len(request)
        assert os.readv(pair.server.fileno(), buffers) == len(request)
        pair.exchange(1)
        pair.exchange(2)
        pair.recorder.stop().expect(DATA_LOST)
    found = balanced_ledger(output, pair)
    lost = found["record_limit"]
    assert 0 < lost <= len(request) - (RECORDS - 1) * RECORD_BYTES // 2, found
    assert events_in_order(output)[-1]["outcome"] == "miss"


def test_bytes_received_to_be_discarded_are_counted_apart(output: Path) -> None:
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(1)
        until(lambda: waiting(pair.server, LENGTH), "the request")
        buffer = bytearray(4096)
        assert pair.server.recv_into(buffer, len(buffer), socket.MSG_TRUNC) == LENGTH
        assert not any(buffer), "nothing was copied"
        pair.answer(ANSWER)
        pair.exchange(2)
        pair.recorder.stop().expect(DATA_LOST)
    found = balanced_ledger(output, pair)
    only(found, other_syscall=LENGTH, unsynced=len(ANSWER))
    assert [row["outcome"] for row in events_in_order(output)] == ["miss"] * 2


def test_bytes_that_are_not_in_memory_any_more_are_counted_apart(output: Path) -> None:
    """Read over the array of buffers itself: afterwards the addresses of the bytes are lost."""
    array = (ctypes.c_uint64 * 2)()
    array[:] = [ctypes.addressof(array), ctypes.sizeof(array)]
    request = b"get ten-bytes-\r\n"
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.client.sendall(request)
        pair.sent += len(request)
        until(lambda: waiting(pair.server, len(request)), "the request")
        assert ctypes.CDLL(None).readv(pair.server.fileno(), array, 1) == len(request)
        pair.answer(ANSWER)
        pair.exchange(1)
        pair.recorder.stop().expect(DATA_LOST)
    only(balanced_ledger(output, pair), fault=len(request), unsynced=len(ANSWER))
    assert [row["outcome"] for row in events_in_order(output)] == ["miss"] * 2


@pytest.mark.skipif(
    default_hooks() != "sockets", reason="only the sockets hooks keep state with the socket"
)
def test_sockets_without_memory_for_their_state_are_counted_apart(output: Path) -> None:
    """Set `net.core.optmem_max`, the limit for state kept with a socket, to 1 byte."""
    with namespace() as space, ExitStack() as stack:
        with space.inside():
            if not OPTMEM.exists():
                pytest.skip(f"{OPTMEM} is not of a network namespace on this kernel")
            OPTMEM.write_text("1\n")
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listening.getsockname()[1]
        with recorder(output, [port], "--no-stats") as running:
            with space.inside():
                client = stack.enter_context(
                    socket.create_connection(("127.0.0.1", port), DEADLINE)
                )
            server, _ = listening.accept()
            stack.enter_context(server)
            client.sendall(REQUEST % 1)
            assert server.recv(4096) == REQUEST % 1
            server.sendall(ANSWER)
            assert client.recv(4096) == ANSWER
            running.stop().expect(DATA_LOST)
    only(read_ledger(output), no_state=LENGTH + len(ANSWER))
    assert events(output) == []


def test_sockets_of_other_kinds_are_counted_apart(output: Path, tmp_path: Path) -> None:
    path = tmp_path / "packets.socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        with (
            recorder(output, [], "--no-stats", "--wait", "--socket", str(path)) as running,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client,
        ):
            client.connect(str(path))
            server, _ = listening.accept()
            with server:
                client.sendall(REQUEST % 1)
                assert server.recv(4096) == REQUEST % 1
                server.sendall(ANSWER)
                assert client.recv(4096) == ANSWER
            running.stop().expect(DATA_LOST)
    only(read_ledger(output), other_family=LENGTH + len(ANSWER))


def test_replies_that_are_laid_out_unlike_memcacheds_are_truncated(output: Path) -> None:
    """Answer in one long buffer, whose middle is not kept although responses are in it."""
    count = 200
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(*range(count))
        sent = pair.sent - LENGTH
        until(lambda: waiting(pair.server, sent), "the requests")
        assert len(pair.server.recv(1 << 16)) == sent
        pair.answer(ANSWER * count)
        pair.exchange(1)
        pair.recorder.stop().expect(DATA_LOST)
    found = balanced_ledger(output, pair)
    assert found["truncated"] > 0
    assert found["unpaired"] > 0
    assert {row["outcome"] for row in events_in_order(output)} == {"miss", None}
    assert events_in_order(output)[-1]["outcome"] == "miss"


def test_answers_that_fit_no_request_and_requests_without_one_are_counted(output: Path) -> None:
    with recorded_pair(output) as pair:
        pair.exchange(0)
        pair.ask(1)
        pair.server.recv(4096)
        pair.answer(b"TOUCHED\r\n")
        pair.ask(2)
        pair.server.recv(4096)
        pair.ask(3)
        assert pair.server.recv(4096) == REQUEST % 3
        pair.answer(ANSWER)
        pair.recorder.stop().expect(DATA_LOST)
    found = balanced_ledger(output, pair)
    assert (found["unmatched"], found["unpaired"]) == (1, 2)
    only(found, unsynced=len(b"TOUCHED\r\n"))
    assert [row["outcome"] for row in events_in_order(output)] == ["miss", None, None, "miss"]


@pytest.mark.memcached
def test_events_that_a_slow_consumer_does_not_take_are_counted_and_written(
    server: Memcached, output: Path
) -> None:
    connection = Connection(server.port, 0)
    with library.record(
        "ebpf:any", output, ports=[server.port], statistics=False, live=True
    ) as capture:

        def dropped() -> int:
            connection.perform(*(read("get", [b"key-%d" % number]) for number in range(20)))
            return capture.status().user_queue_drops

        until(dropped, "events not taken")
        capture.stop()
        capture.wait()
        recording = capture.result
    assert recording.ledger.user_queue_drops > 0
    assert recording.ledger.complete is False
    assert len(events(output)) == len(connection.log)
    assert read_ledger(output)["missed"] == 0
