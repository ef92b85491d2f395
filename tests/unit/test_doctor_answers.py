"""`doctor` and a server that may send anything: no exception, in bounded time."""

from __future__ import annotations

import random
import socket
import sys
import threading
from contextlib import suppress

import pytest

from membench._doctor import host, toolchain

ANSWER = (
    b"STAT pid 7\r\nSTAT uptime 60\r\nSTAT version 1.6.18\r\nSTAT cmd_get 5\r\nSTAT cmd_set 3\r\n"
    b"STAT rusage_user 0.5\r\nSTAT rusage_system 1.25\r\nSTAT curr_connections 2\r\nEND\r\n"
)
PIECES = (
    b"\xff", b"\0", b"\r", b"\n", b" ", b"  ", b"END\r\n", b"STAT ", b"ERROR\r\n", b"nan", b"-1",
    b"1e999", b"9" * 400, "\u0663".encode(), b"\x1b[31m", b"VALUE k 0 4294967295\r\n",
)  # fmt: skip
TRIALS = 400


def spoiled(seed: int) -> bytes:
    """Return the answer with some changes at places that `seed` chooses."""
    chosen = random.Random(seed)
    answer = bytearray(ANSWER)
    for _ in range(chosen.randrange(1, 5)):
        place = chosen.randrange(len(answer))
        cut = chosen.randrange(12)
        answer[place : place + cut] = chosen.choice(PIECES) * chosen.choice((0, 1, 1, 3))
    return bytes(answer)


def watched(answer: bytes) -> host._Rates:
    """Ask a server that gives this answer to every question, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            # The client may have read enough, or waited long enough, and hung up.
            with connection, suppress(ConnectionError):
                for _ in range(2):
                    connection.recv(64)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        rates = host._watch("127.0.0.1", server.getsockname()[1])
        thread.join()
    return rates


def test_any_answer_is_read_or_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_WATCH_S", 0.0)
    monkeypatch.setattr(host, "_ANSWER_TIMEOUT_S", 0.2)
    whole = watched(ANSWER)
    assert (whole.answers["pid"], whole.cpus_used) == ("7", 0.0)
    read = 0
    for seed in range(TRIALS):
        rates = watched(spoiled(seed))
        assert all(isinstance(value, str) for value in rates.answers.values())
        read += bool(rates.answers)
    assert TRIALS / 20 < read < TRIALS


def test_a_tool_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_LONGEST_S", 0.2)
    assert toolchain._ask(sys.executable, "-c", "import time; time.sleep(60)") == ""
    assert toolchain._ask("/nonexistent/rustc") == ""
