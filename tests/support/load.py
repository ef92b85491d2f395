"""A client that sends as fast as it can and checks every byte, in a process of its own.

Run as `python -m support.load PORT CONNECTIONS DEPTH`, DEPTH requests in a write: it says `ready`,
continues until its standard input is closed, and prints what it did as one line of JSON.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.process import started
from support.waiting import DEADLINE

KEYS = 1000
VALUE = b"v" * 100
#: Gets for each set; one of them misses.
GETS = 10
TURNS = 100


class Load:
    """A running client."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take a process that was just started; wait until it is ready."""
        self._process = process
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the load did not begin"

    @property
    def runs(self) -> bool:
        """True if the client is still running: it ends by itself on any error."""
        return self._process.poll() is None

    def end(self) -> dict[str, int]:
        """End the client; return its counts of operations, bytes sent and bytes received."""
        stdout, _ = self._process.communicate(timeout=DEADLINE)
        assert self._process.returncode == 0, f"the load failed: {stdout}"
        done: dict[str, int] = json.loads(stdout)
        return done


@contextmanager
def load(port: int, connections: int, depth: int) -> Iterator[Load]:
    """Start a client; kill it when the block ends."""
    command = [sys.executable, "-m", "support.load", str(port), str(connections), str(depth)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started(command, cwd=Path(__file__).parents[1], **pipes) as process:
        yield Load(process)


@contextmanager
def loads(port: int, processes: int, connections: int, depth: int) -> Iterator[list[Load]]:
    """Start several clients."""
    with ExitStack() as stack:
        yield [stack.enter_context(load(port, connections, depth)) for _ in range(processes)]


def total(done: Sequence[dict[str, int]]) -> dict[str, int]:
    """Add up the counts of several clients."""
    return {name: sum(one[name] for one in done) for name in done[0]}


def _exchange(number: int) -> tuple[bytes, bytes]:
    """Return a request and its expected response."""
    key = b"membench-load-%06d" % (number // (GETS + 1) * 7 % KEYS)
    match number % (GETS + 1):
        case 0:
            return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(VALUE), VALUE), b"STORED\r\n"
        case 1:
            return b"get absent-%s\r\n" % key, b"END\r\n"
    answer = b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(VALUE), VALUE)
    return b"get %s\r\n" % key, answer


def _turn(number: int, depth: int) -> tuple[bytes, bytes]:
    exchanges = [_exchange(number * depth + place) for place in range(depth)]
    return b"".join(one for one, _ in exchanges), b"".join(one for _, one in exchanges)


def _receive(peer: socket.socket, expected: bytes) -> None:
    received = peer.recv(len(expected))
    while len(received) < len(expected):
        more = peer.recv(len(expected) - len(received))
        if not more:
            raise ConnectionError("the server hung up")
        received += more
    if received != expected:
        raise ValueError("another answer than expected")


def _connected(port: int, ordinal: int) -> socket.socket:
    # Many source addresses, so that none runs out of ports.
    source = (f"127.0.1.{1 + ordinal % 200}", 0)
    peer = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE, source_address=source)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def _main(port: int, connections: int, depth: int) -> None:
    peers = [_connected(port, ordinal) for ordinal in range(connections)]
    turns = [_turn(number, depth) for number in range(max(1, TURNS * (GETS + 1) // depth))]
    first = b"".join(
        b"set membench-load-%06d 0 0 %d noreply\r\n%s\r\n" % (number, len(VALUE), VALUE)
        for number in range(KEYS)
    )
    peers[0].sendall(first + b"mn\r\n")
    _receive(peers[0], b"MN\r\n")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    done = {"operations": KEYS + 1, "sent": len(first) + 4, "received": 4}
    turn = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        for data, expected in turns[turn % len(turns) :][:20]:
            for peer in peers:
                peer.sendall(data)
            for peer in peers:
                _receive(peer, expected)
            turn += 1
            done["operations"] += depth * connections
            done["sent"] += len(data) * connections
            done["received"] += len(expected) * connections
    for peer in peers:
        peer.close()
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:4]))
