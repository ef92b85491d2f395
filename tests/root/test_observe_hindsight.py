"""Hindsight: nothing is shown until a signal, a condition or the end; then the time before it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest

from support.answers import answer
from support.cli import COMMAND, environment, membench as cli
from support.process import started
from support.server import Memcached, connect, memcached
from support.timeline import decoded, slices

pytestmark = [pytest.mark.root]

STOP_S = 0.3
#: Below a stop, and above what a request takes on a busy machine.
LIMIT = "200ms"


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


@contextmanager
def observing(server: Memcached, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Observe with hindsight, as lines of JSON."""
    command = [*COMMAND, "observe", "--requests", "--port", str(server.port), "--format", "json"]
    with started(
        [*command, "--interval", "200ms", "--slower-than", LIMIT, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert "are kept" in process.stderr.readline()
        while f"kill -USR1 {process.pid}" not in process.stderr.readline():
            assert process.poll() is None
        yield process


def stopped_get(server: Memcached) -> str:
    """Ask for a key while the server is stopped; return the client's name."""
    with connect(server.port) as client:
        answer(client, b"get x\r\n")
        server.freeze()
        client.sendall(b"get x\r\n")
        time.sleep(STOP_S)
        server.thaw()
        assert client.recv(100) == b"END\r\n"
        return "{}:{}".format(*client.getsockname())


def slow_clients(lines: list[str]) -> set[str]:
    """Return the clients of the slow requests in lines of JSON."""
    return {one["client"] for line in lines for one in json.loads(line)["slow"]}


def shown(told: str) -> Iterator[str]:
    """Return why intervals were shown."""
    for line in told.splitlines():
        if found := re.match(r"(.*): [\d.]+ s shown", line):
            yield found[1]


def test_a_signal_shows_what_came_before_it_and_the_end_what_came_since(
    server: Memcached, tmp_path: Path
) -> None:
    timeline = tmp_path / "timeline"
    with observing(server, "--hindsight", "1h", "--perfetto", str(timeline)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = stopped_get(server)
        process.send_signal(signal.SIGUSR1)
        said = process.stderr.readline()
        assert said.startswith("SIGUSR1: ")
        before_end = slices(decoded(timeline))
        second = stopped_get(server)
        process.send_signal(signal.SIGINT)
        lines, told = process.communicate()
    assert list(shown(told)) == ["the end"]
    assert {first, second} <= slow_clients(lines.splitlines())
    intervals = [json.loads(line) for line in lines.splitlines()]
    begins = [one["elapsed_s"] - one["interval_s"] for one in intervals]
    ends = [one["elapsed_s"] for one in intervals]
    assert begins[1:] == pytest.approx(ends[:-1]), "each interval is shown once"
    drawn = [
        one.facts["client"] for one in chain.from_iterable(before_end.values()) if not one.depth
    ]
    assert first in drawn
    assert second not in drawn
    ended = slices(decoded(timeline))
    drawn = [one.facts["client"] for one in chain.from_iterable(ended.values()) if not one.depth]
    assert sorted(drawn) == sorted(
        one["client"] for line in lines.splitlines() for one in json.loads(line)["slow"]
    )


def test_a_condition_shows_the_interval_in_which_it_holds(server: Memcached) -> None:
    with observing(
        server, "--hindsight", "1h", "--when", f"stopped.max>{LIMIT}", "--when", "lock.max>1000s"
    ) as process:
        assert process.stderr is not None
        name = stopped_get(server)
        assert process.stderr.readline().startswith(f"stopped.max>{LIMIT}: ")
        process.send_signal(signal.SIGINT)
        lines, _ = process.communicate()
    assert name in slow_clients(lines.splitlines())


def test_what_is_older_is_not_shown(server: Memcached) -> None:
    with observing(server, "--hindsight", "1s") as process:
        name = stopped_get(server)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        lines, told = process.communicate()
    assert list(shown(told)) == ["the end"]
    assert name not in slow_clients(lines.splitlines())
    # One interval more may have begun before, and a busy machine makes one long.
    assert sum(json.loads(line)["interval_s"] for line in lines.splitlines()[1:]) <= 1.5


def test_options_without_what_they_take_are_refused() -> None:
    told = cli("observe", "--requests", "--when", "p99>1ms").expect(2)
    assert "--hindsight" in told.stderr
    told = cli("observe", "--hindsight", "1s", "--when", "p99>1ms").expect(2)
    assert "--requests" in told.stderr
    told = cli("observe", "--requests", "--hindsight", "1s", "--when", "p99").expect(2)
    assert "p99>2ms" in told.stderr
