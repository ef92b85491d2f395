"""Hostile streams, recorded live: every byte is counted, and memory is bounded."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from support import proc
from support.cli import Recorder, read_ledger, recorder
from support.hostile import BOUND, STREAMS, Stream, accounted
from support.server import Memcached
from support.waiting import DEADLINE

pytestmark = pytest.mark.root

DATA_LOST = 4
#: Size of a read: memcached's read buffer.
READ = 16_384


def peak(pid: int) -> int:
    """Return the peak memory of a process, bytes."""
    status = proc.read(Path(f"/proc/{pid}/status"))
    assert status is not None, "the recorder has ended"
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def stopped(running: Recorder) -> None:
    """Stop a recorder; fail if it took too much memory or printed a traceback."""
    assert peak(running.pid) < BOUND
    ended = running.stop()
    assert ended.code in (0, DATA_LOST), ended
    assert "Traceback" not in ended.stderr
    assert "panicked" not in ended.stderr


def taken(peer: socket.socket, size: int) -> int:
    """Read up to `size` bytes, or to the end; return the number read."""
    left = size
    while left and (read := len(peer.recv(min(READ, left)))):
        left -= read
    return size - left


def talk(listening: socket.socket, stream: Stream) -> None:
    """Send a stream in both directions over one connection."""
    with socket.create_connection(listening.getsockname(), timeout=DEADLINE) as client:
        server, _ = listening.accept()
        with server:
            server.settimeout(DEADLINE)
            for sender, receiver, data in (
                (client, server, stream.requests),
                (server, client, stream.responses),
            ):
                sending = threading.Thread(target=sender.sendall, args=(data,))
                sending.start()
                assert taken(receiver, len(data)) == len(data)
                sending.join()


def test_every_byte_of_hostile_streams_is_counted(output: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with recorder(output, [port], "--no-stats") as running:
            for stream in STREAMS.values():
                talk(listening, stream)
            stopped(running)
    ledger = read_ledger(output)
    accounted(
        ledger,
        sum(len(stream.requests) for stream in STREAMS.values()),
        sum(len(stream.responses) for stream in STREAMS.values()),
    )


@pytest.mark.memcached
def test_bytes_that_memcached_reads_of_hostile_streams_are_in_the_ledger(
    server: Memcached, output: Path
) -> None:
    before = server.settled_stats()
    with recorder(output, [server.port], "--no-stats") as running:
        for stream in STREAMS.values():
            ask(server, stream)
        server.wait_for_connections(0)
        stopped(running)
    after = server.settled_stats()
    moved = [int(after[name]) - int(before[name]) for name in ("bytes_read", "bytes_written")]
    ledger = read_ledger(output)
    accounted(ledger, *moved)


def ask(server: Memcached, stream: Stream) -> None:
    """Send a stream to memcached, which may close the connection before it has read all."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as client:
        reading = threading.Thread(target=swallowed, args=(client,))
        reading.start()
        sent(client, stream.requests)
        reading.join()


def sent(peer: socket.socket, data: bytes) -> None:
    """Send data and shut down the direction, as far as the peer takes it."""
    try:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
    except OSError:
        return


def swallowed(peer: socket.socket) -> None:
    """Read and discard until the peer closes or resets."""
    try:
        while peer.recv(1 << 16):
            pass
    except OSError:
        return
