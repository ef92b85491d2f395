"""Causes that are injected, each attributed to itself and not to its double."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import membench
from support.answers import answer, receive
from support.server import Memcached, connect, memcached
from support.waiting import let_pass

pytestmark = [pytest.mark.root]

PIDFD_OPEN, PROCESS_MADVISE = 434, 440
MADV_PAGEOUT = 21
#: Share of the requests' time from which docs/observe.md calls waits behind others a cause.
AHEAD = 0.2
VALUE = 200_000
ITEMS = 100
STOP_S = 0.3


class _Range(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_void_p), ("length", ctypes.c_size_t))


def account(interval: membench.ObserveInterval) -> membench.Account:
    """Return the interval's account, whose parts sum to the whole."""
    found = interval.account
    assert found is not None
    assert sum(found.parts_ns.values()) == found.whole_ns
    return found


def rules(interval: membench.ObserveInterval) -> list[str]:
    """Return the rules that found something, the largest share first."""
    return [verdict.rule for verdict in interval.verdicts]


def fill(server: Memcached, items: int, size: int) -> None:
    """Store items."""
    with connect(server.port) as client:
        for number in range(items):
            value = b"v" * size
            answer(client, b"set k%d 0 0 %d\r\n%s\r\n" % (number, size, value), b"STORED\r\n")


def observing(server: Memcached, *by: str) -> membench.Observation:
    """Observe a server from its next request on."""
    observed = membench.observe(requests=True, ports=[server.port], interval_s=None, by=by)
    observed.take()
    return observed


def mapped(process: int, file: Path) -> Iterator[_Range]:
    """Return where a process has mapped a file."""
    for line in (Path("/proc") / str(process) / "maps").read_text().splitlines():
        if line.endswith(f" {file}"):
            begin, end = (int(word, 16) for word in line.split()[0].split("-"))
            yield _Range(begin, end - begin)


def move_to_disk(process: int, file: Path) -> None:
    """Take every page of a file that a process has mapped out of memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(PIDFD_OPEN, process, 0)
    ranges = list(mapped(process, file))
    assert ranges
    try:
        for one in ranges:
            listed = ctypes.byref(one)
            done = libc.syscall(PROCESS_MADVISE, descriptor, listed, 1, MADV_PAGEOUT, 0)
            if done < 0:
                pytest.skip(f"process_madvise: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)
    opened = os.open(file, os.O_RDWR)
    try:
        os.fsync(opened)
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(opened)


def major_faults(server: Memcached) -> int:
    """Return how many pages the server's threads have got from a disk."""
    tasks = (Path("/proc") / str(server.pid) / "task").iterdir()
    return sum(int((task / "stat").read_text().rpartition(") ")[2].split()[9]) for task in tasks)


def test_a_disk_is_told_from_a_stop(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    with memcached(threads=1, arguments=("-e", str(file))) as server:
        fill(server, ITEMS, VALUE)
        with connect(server.port) as client, observing(server) as observed:
            answer(client, b"get k0\r\n")
            in_memory = observed.take()
            before = major_faults(server)
            move_to_disk(server.pid, file)
            for number in range(ITEMS):
                answer(client, b"get k%d\r\n" % number)
            faults = major_faults(server) - before
            from_disk = observed.take()
            server.freeze()
            client.sendall(b"get k0\r\n")
            let_pass(STOP_S)
            server.thaw()
            receive(client)
            stopped = observed.take()
    if not faults:
        pytest.skip("this file system kept the pages in memory")
    assert account(in_memory).parts_ns["disk"] == 0
    assert account(from_disk).parts_ns["disk"] > 0
    assert account(from_disk).parts_ns["stopped"] == 0
    assert account(stopped).parts_ns["stopped"] >= 0.8 * STOP_S * 1e9
    assert "stopped" in rules(stopped)
    assert "disk" not in rules(stopped)
    share = account(from_disk).share("disk")
    assert ("disk" in rules(from_disk)) == (share >= 0.05)


def workers_of(observed: membench.Observation, names: Sequence[str]) -> dict[str, int]:
    """Return the worker of each client that has asked since the last look."""
    found = observed.take().connections
    assert found is not None
    threads = {one.client: one.thread for one in found.busiest}
    return {name: threads[name] for name in names if name in threads}


def ahead_of(
    observed: membench.Observation, clients: Sequence[socket.socket], request: bytes
) -> int:
    """Have clients ask at once, again and again; return the wait behind others, ns a request."""

    def ask(client: socket.socket) -> None:
        for _ in range(100):
            answer(client, request)

    observed.take()
    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    interval = observed.take()
    found = account(interval)
    # The rules say what the share says, and blame the spread only if it is to blame.
    assert bool({"uneven-workers", "ahead"} & set(rules(interval))) == (
        found.share("ahead") >= AHEAD
    )
    busy = [worker for worker in interval.workers if worker.requests > 1]
    assert len(busy) < len(clients) or "uneven-workers" not in rules(interval)
    return found.parts_ns["ahead"] // found.requests


def test_clients_that_share_a_worker_are_told_from_clients_that_do_not() -> None:
    names = b" ".join(b"k%d" % number for number in range(100))
    request = b"get " + names + b"\r\n"
    with memcached(threads=4) as server:
        fill(server, 100, 500)
        with observing(server, "connection") as observed:
            clients = [connect(server.port) for _ in range(16)]
            for client in clients:
                answer(client, b"get k0\r\n")
            own = ["{}:{}".format(*client.getsockname()) for client in clients]
            workers = workers_of(observed, own)
            threads = sorted(set(workers.values()))
            assert len(threads) == 4
            by_worker = {
                thread: [
                    client
                    for client, name in zip(clients, own, strict=True)
                    if workers.get(name) == thread
                ]
                for thread in threads
            }
            shared = ahead_of(observed, by_worker[threads[0]][:4], request)
            spread = ahead_of(observed, [by_worker[one][0] for one in threads], request)
            for client in clients:
                client.close()
    assert shared > 10 * spread


def test_a_huge_multi_get_is_what_small_gets_of_its_worker_wait_behind() -> None:
    items = 400
    names = b" ".join(b"k%d" % number for number in range(items))
    with memcached(threads=1) as server:
        fill(server, items, 2000)
        with (
            connect(server.port) as huge,
            connect(server.port) as small,
            observing(server, "connection") as observed,
        ):
            answer(huge, b"get k0\r\n")
            answer(small, b"get k0\r\n")
            observed.take()
            for _ in range(20):
                server.freeze()
                huge.sendall(b"get " + names + b"\r\n")
                small.sendall(b"get nothing\r\n")
                server.thaw()
                receive(huge)
                receive(small)
            interval = observed.take()
            client = "{}:{}".format(*small.getsockname())
            other = "{}:{}".format(*huge.getsockname())
    assert interval.connections is not None
    found = {one.client: one for one in interval.connections.busiest}
    assert found[client].parts_ns["ahead"] > found[client].parts_ns["memcached"]
    assert found[client].parts_ns["ahead"] > found[other].parts_ns["ahead"]
    # The one that the others wait behind is the one with the long answers.
    assert found[other].answer_bytes > 100 * found[client].answer_bytes
