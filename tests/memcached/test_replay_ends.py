"""Ends of a replay that is not done: missing answers, a signal, a target that is no memcached."""

from __future__ import annotations

import json
import signal
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.cli import COMMAND, environment, membench
from support.server import Memcached, memcached
from support.waiting import DEADLINE, until

pytestmark = pytest.mark.memcached

SEALED = Path(__file__).parents[1] / "data" / "sealed"
PLANNED = 40
SHORT, CHECK_FAILED, TARGET, INTERRUPTED = 4, 99, 5, 130


class Replay:
    """`membench replay` while it runs."""

    def __init__(self, server: Memcached, *options: str) -> None:
        """Start it against `server`."""
        self._server = server
        command = [*COMMAND, "replay", str(SEALED), server.address, "--allow-nonempty", *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def after(self, requests: int) -> Replay:
        """Wait until the server has counted that many gets and sets; return self."""

        def counted() -> bool:
            stats = self._server.stats()
            return int(stats["cmd_get"]) + int(stats["cmd_set"]) >= requests

        until(counted, f"{requests} requests")
        return self

    def end(self) -> tuple[int, str, str]:
        """Wait for its end."""
        stdout, stderr = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, stdout, stderr


@pytest.mark.parametrize("kind", ["frozen", "killed"])
@pytest.mark.parametrize("checked", [True, False])
def test_missing_answers_are_in_the_exit_code_the_percentiles_and_the_checks(
    kind: str, checked: bool
) -> None:
    checks = ("--check", "get.p99<50s", "--check", "response.max<50s", "--check", "errors<1%")
    with memcached() as server:
        options = ("--pacing", "rate=10/s", "--format", "json", *(checks if checked else ()))
        replay = Replay(server, *options).after(5)
        server.freeze() if kind == "frozen" else server.stop()
        code, stdout, stderr = replay.end()
    result: dict[str, Any] = json.loads(stdout)
    missing = sum(result["unanswered"].values()) + sum(result["unsent"].values())
    assert missing > 0
    assert result["errors"] >= missing
    response = result["response_ns"]
    assert response["unanswered"] > 0
    assert {"p99", "max", "mean"} <= set(response["at_least"])
    assert "temporarily" not in stderr
    # The limits are far above any wait: what fails the checks is that answers are missing.
    assert [check["passed"] for check in result["checks"]] == [False] * 3 * checked
    assert code == (CHECK_FAILED if checked else SHORT)


def test_missing_answers_are_said_in_the_report() -> None:
    with memcached() as server:
        replay = Replay(server, "--pacing", "rate=10/s").after(5)
        server.freeze()
        code, stdout, _ = replay.end()
    assert code == SHORT
    assert "ANSWERS MISSING" in stdout
    assert "≥" in stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_signal_ends_a_replay_with_the_report_so_far(number: signal.Signals, form: str) -> None:
    with memcached() as server:
        replay = Replay(server, "--pacing", "rate=2/s", "--format", form).after(2)
        replay.process.send_signal(number)
        code, stdout, _ = replay.end()
        counted = server.stats()
    assert code == INTERRUPTED
    if form == "text":
        assert "STOPPED after 00:0" in stdout
        assert "of 00:20" in stdout
        assert f"of {PLANNED}" in stdout
        return
    result = json.loads(stdout)
    assert result["stopped"]
    assert result["sent"] == int(counted["cmd_get"]) + int(counted["cmd_set"])
    assert result["sent"] == PLANNED - result["unsent"]["stopped"]
    assert (result["errors"], result["unanswered"]) == (0, {})
    assert (result["pacing"], result["seed"]) == ("rate=2/s", 1)
    assert result["profile"] == str(SEALED)


def _handler(reply: bytes | None, *, closes: bool) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while not closes and (line := self.rfile.readline()):
                if reply is not None and line.strip():
                    self.wfile.write(reply)

    return Handler


@contextmanager
def strange_target(reply: bytes | None, *, closes: bool = False) -> Iterator[str]:
    """Run a server that answers every line with `reply`, or not at all."""
    handler = _handler(reply, closes=closes)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("reply", "closes", "said"),
    [
        (None, False, "accepts connections, but sent no answer within 5 s"),
        (None, True, "closed the connection instead of answering"),
        (b"HTTP/1.1 400 Bad Request\r\n", False, "does not answer like memcached: HTTP/1.1 400"),
        (b"-ERR unknown command 'stats'\r\n", False, "does not answer like memcached: -ERR"),
        (b"ERROR\r\n", False, "does not answer like memcached: ERROR"),
    ],
    ids=["silent", "closing", "http", "redis", "without stats"],
)
def test_a_target_that_is_no_memcached_is_told_in_words(
    reply: bytes | None, closes: bool, said: str
) -> None:
    with strange_target(reply, closes=closes) as address:
        ended = membench("replay", SEALED, address)
    assert (ended.code, ended.stdout) == (TARGET, "")
    assert ended.stderr.startswith(f"error: {address} {said}")
    assert "\nhint: " in ended.stderr
    assert "os error" not in ended.stderr
    assert "temporarily" not in ended.stderr
