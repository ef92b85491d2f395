"""A recorded connection whose two ends the test holds, so every byte moved is known."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.cli import Recorder, read_ledger, recorder
from support.profile import Row, events
from support.waiting import DEADLINE

REQUEST = b"get key-%d\r\n"
LENGTH = len(REQUEST % 0)
ANSWER = b"END\r\n"

Receive = Callable[[socket.socket], bytes]
Send = Callable[[socket.socket, bytes], object]


class RecordedPair:
    """Both sockets of a connection; the server's is recorded."""

    def __init__(self, recorder: Recorder, client: socket.socket, server: socket.socket) -> None:
        """Take two connected sockets and the recorder that follows the server's."""
        self.recorder, self.client, self.server = recorder, client, server
        self.sent = self.answered = 0

    def ask(self, *numbers: int) -> None:
        """Send the requests with these numbers in one write."""
        data = b"".join(REQUEST % number for number in numbers)
        self.client.sendall(data)
        self.sent += len(data)

    def answer(self, data: bytes, send: Send = socket.socket.sendall) -> None:
        """Send `data` from the server by `send`; the client receives all of it."""
        send(self.server, data)
        received = b""
        while len(received) < len(data):
            received += self.client.recv(len(data) - len(received)) or b"?"
        assert received == data
        self.answered += len(data)

    def exchange(self, number: int) -> None:
        """Send one request and answer it, with ordinary calls."""
        self.ask(number)
        assert self.server.recv(16384) == REQUEST % number
        self.answer(ANSWER)


@contextmanager
def recorded_pair(output: Path, *options: str) -> Iterator[RecordedPair]:
    """Connect two sockets while a recorder follows the server's; end all with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with recorder(output, [port], "--no-stats", *options) as running:
            client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
            server, _ = listening.accept()
            with client, server:
                yield RecordedPair(running, client, server)


def events_in_order(profile: Path) -> list[Row]:
    """Return the events in the order of their requests."""
    return sorted(events(profile), key=lambda row: row["request"])


def balanced_ledger(profile: Path, pair: RecordedPair) -> dict[str, Any]:
    """Return the ledger; fail unless it accounts for every byte that the pair moved."""
    found = read_ledger(profile)
    assert (found["request_bytes"], found["response_bytes"]) == (pair.sent, pair.answered)
    (server,) = found["servers"]
    for direction, moved in (("request", pair.sent), ("response", pair.answered)):
        flow = server[direction]
        parts = [flow[name] for name in flow if name not in ("seen", "missed")]
        assert flow["seen"] == moved == sum(parts), (direction, flow)
    return found


def assert_complete(output: Path, pair: RecordedPair, count: int) -> None:
    """Fail unless the recording is complete and holds `count` misses and nothing else."""
    rows = events_in_order(output)
    assert [row["outcome"] for row in rows] == ["miss"] * count
    assert balanced_ledger(output, pair)["complete"] is True
