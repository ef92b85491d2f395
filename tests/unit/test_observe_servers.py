"""A server's answers → the growth of its counters, whatever the answer holds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from membench._observe.servers import ServerWatch
from membench._running import next_due


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """Listen on a port; give each of the answers to one request of the first connection."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            for text in answers:
                connection.recv(100)
                connection.sendall(text)
            connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def statistics(cmd_get: str) -> bytes:
    return f"STAT cmd_get {cmd_get}\r\nSTAT cmd_set 1\r\nEND\r\n".encode()


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "1.5", "many", ""])
def test_a_counter_that_is_no_number_of_64_bits_is_left_out(number: str) -> None:
    with answering(statistics("7"), statistics(number), statistics("9")) as port:
        watch = ServerWatch(port)
        assert watch.take().counters == {"cmd_set": 0}
        assert watch.take().counters == {"cmd_set": 0}
        watch.close()


def test_counters_grow_from_one_look_to_the_next() -> None:
    with answering(statistics("7"), statistics("9")) as port:
        watch = ServerWatch(port)
        assert watch.take().counters == {"cmd_get": 2, "cmd_set": 0}
        watch.close()


@pytest.mark.parametrize(
    ("due", "after"), [(100.0, 105.0), (99.9, 104.9), (96.0, 101.0), (40.0, 105.0)]
)
def test_intervals_that_were_missed_are_not_made_up_for(
    due: float, after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    assert next_due(due, 5.0) == after
