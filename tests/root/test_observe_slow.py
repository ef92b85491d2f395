"""Slow requests: each with its parts, its client, its worker and its command, and never a key."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import pytest

import membench
from membench.errors import UsageError
from support.answers import answer
from support.binary import HEADER, OPCODES, REQUEST
from support.cli import COMMAND, environment, membench as cli
from support.process import started
from support.server import Memcached, connect, memcached
from support.timeline import decoded, slices, tracks

pytestmark = [pytest.mark.root]

STOP_S = 0.3
#: Above what a request takes on a busy machine, and below a stop.
SLOWER_S = 0.2
#: So short that every request takes as long.
SHORTEST_S = 1e-9
#: A key that would be found in any output.
KEY = b"secretkey"
#: Requests with the begins of their answers, the commands that these tell, and their first words.
TEXT = [
    (b"get KEY\r\n", b"END\r\n", "get", "END"),
    (b"set KEY 0 0 5\r\nvalue\r\n", b"STORED\r\n", "store", "STORED"),
    (b"get KEY\r\n", b"END\r\n", "get", "VALUE"),
    (b"add KEY 0 0 1\r\n1\r\n", b"NOT_STORED\r\n", "store", "NOT_STORED"),
    (b"touch KEY 0\r\n", b"TOUCHED\r\n", "touch", "TOUCHED"),
    (b"mg KEY v\r\n", b"value\r\n", "meta", "VA"),
    (b"mg nothing v\r\n", b"EN\r\n", "meta", "EN"),
    (b"md KEY q k\r\nmn\r\n", b"MN\r\n", "meta", "MN"),
    (b"delete KEY\r\n", b"NOT_FOUND\r\n", None, "NOT_FOUND"),
    (b"set KEY 0 0 1\r\n7\r\n", b"STORED\r\n", "store", "STORED"),
    (b"incr KEY 35\r\n", b"42\r\n", "count", "number"),
    (b"delete KEY\r\n", b"DELETED\r\n", "delete", "DELETED"),
    (b"version\r\n", b"\r\n", "version", "VERSION"),
    (b"stats\r\n", b"END\r\n", "stats", "STAT"),
    (b"nonsense KEY\r\n", b"ERROR\r\n", None, "ERROR"),
]


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


def observing(server: Memcached, slower_s: float, keep: int = 100) -> membench.Observation:
    """Keep slow requests of a server from its next request on."""
    observed = membench.observe(
        requests=True, ports=[server.port], interval_s=None, slower_than_s=slower_s, keep=keep
    )
    observed.take()
    return observed


def stopped_get(server: Memcached, client: socket.socket) -> None:
    """Ask for a key while the server is stopped."""
    server.freeze()
    client.sendall(b"get " + KEY + b"\r\n")
    time.sleep(STOP_S)
    server.thaw()
    assert client.recv(100) == b"END\r\n"


def test_a_slow_request_is_listed_with_its_account_its_client_and_its_worker(
    server: Memcached,
) -> None:
    with connect(server.port) as client, observing(server, SLOWER_S) as observed:
        for _ in range(20):
            answer(client, b"get x\r\n")
        begun = time.time_ns()
        stopped_get(server, client)
        ended = time.time_ns()
        observed.stop()
        interval = observed.take()
        name = "{}:{}".format(*client.getsockname())
    (slow,) = [one for one in interval.slow if one.client == name]
    assert (interval.slow_requests, interval.slow_unread) == (len(interval.slow), 0)
    assert sum(slow.parts_ns.values()) == slow.whole_ns >= SLOWER_S * 1e9
    assert slow.parts_ns["stopped"] == max(slow.parts_ns.values())
    # The clocks' common moment is read at the start, and UTC may be slewed since.
    assert begun - 10_000_000 <= slow.time_ns <= ended - slow.whole_ns + 10_000_000
    assert 0 < slow.began_s < interval.elapsed_s
    assert (slow.port, slow.process) == (server.port, server.pid)
    assert (Path("/proc") / str(server.pid) / "task" / str(slow.thread)).exists()
    assert (slow.thread, slow.name) in {(one.thread, one.name) for one in interval.workers}
    assert (slow.command, slow.answer) == ("get", "END")
    assert (slow.request_bytes, slow.answer_bytes) == (len(b"get \r\n" + KEY), len(b"END\r\n"))


def test_the_answer_tells_the_command_and_no_key_is_in_any_output(
    server: Memcached, tmp_path: Path
) -> None:
    timeline = tmp_path / "timeline"
    with connect(server.port) as client, observing(server, SHORTEST_S) as observed:
        answer(client, b"version\r\n", b"\r\n")
        observed.take()
        observed.timeline()
        sizes = []
        for request, end, _, _ in TEXT:
            asked = request.replace(b"KEY", KEY)
            sizes.append((len(asked), len(answer(client, asked, end))))
        observed.stop()
        interval = observed.take()
        timeline.write_bytes(observed.timeline())
        name = "{}:{}".format(*client.getsockname())
    own = sorted((one for one in interval.slow if one.client == name), key=lambda one: one.time_ns)
    assert [(one.command, one.answer) for one in own] == [
        (command, word) for _, _, command, word in TEXT
    ]
    assert [(one.request_bytes, one.answer_bytes) for one in own] == sizes
    assert KEY.decode() not in json.dumps(asdict(interval))
    assert KEY not in timeline.read_bytes()
    drawn = chain.from_iterable(slices(decoded(timeline)).values())
    facts = sorted(one.facts.get("answer", "") for one in drawn if one.depth == 0)
    assert facts == sorted(one.answer or "" for one in interval.slow)


def test_an_opcode_tells_the_command(server: Memcached) -> None:
    commands = {"noop": "mn", "get": "get", "version": "version"}
    with connect(server.port) as client, observing(server, SHORTEST_S) as observed:
        for command in ["noop", *commands]:
            key = KEY if command == "get" else b""
            opcode, _ = OPCODES[command]
            client.sendall(HEADER.pack(REQUEST, opcode, len(key), 0, 0, 0, len(key), 0, 0) + key)
            reply = client.recv(1 << 16)
            assert reply[1] == opcode
        observed.stop()
        interval = observed.take()
        name = "{}:{}".format(*client.getsockname())
    own = sorted((one for one in interval.slow if one.client == name), key=lambda one: one.time_ns)
    assert [(one.command, one.answer) for one in own][-3:] == [
        (name, None) for name in commands.values()
    ]


def test_the_longest_are_kept_and_all_are_counted(server: Memcached) -> None:
    keep = 5
    with connect(server.port) as client, observing(server, SHORTEST_S, keep) as observed:
        for _ in range(500):
            answer(client, b"get x\r\n")
        observed.stop()
        interval = observed.take()
    account = interval.account
    assert account is not None
    assert interval.slow_requests == account.requests
    assert interval.slow_unread == 0
    times = [one.whole_ns for one in interval.slow]
    assert len(times) == keep
    assert times == sorted(times, reverse=True)
    longest = account.quantiles["whole"].max_ns
    assert abs(times[0] - longest) <= 0.07 * longest
    # The five longest of some five hundred are not shorter than what 99 % of them take.
    assert times[-1] >= 0.93 * account.quantiles["whole"].p99_ns


def test_more_than_there_is_room_for_are_counted(server: Memcached) -> None:
    with connect(server.port) as client, observing(server, SHORTEST_S, 100_000) as observed:
        for _ in range(8000):
            answer(client, b"get x\r\n")
        observed.stop()
        interval = observed.take()
        again = observed.take()
    assert interval.slow_unread > 0
    assert len(interval.slow) + interval.slow_unread == interval.slow_requests
    assert (again.slow, again.slow_requests, again.slow_unread) == ((), 0, 0)


def test_each_line_of_json_has_the_slow_ones_and_a_timeline_is_what_perfetto_reads(
    server: Memcached, tmp_path: Path
) -> None:
    timeline = tmp_path / "timeline"
    command = [*COMMAND, "observe", "--requests", "--port", str(server.port), "--format", "json"]
    options = ["--slower-than", f"{SLOWER_S * 1000:.0f}ms", "--keep", "10"]
    with started(
        [*command, *options, "--interval", "200ms", "--perfetto", str(timeline)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline())]
        with connect(server.port) as client, connect(server.port) as other:
            answer(client, b"get x\r\n")
            answer(other, b"get x\r\n")
            server.freeze()
            for one in (client, other):
                one.sendall(b"get " + KEY + b"\r\n")
            time.sleep(STOP_S)
            server.thaw()
            for one in (client, other):
                assert one.recv(100) == b"END\r\n"
            names = {"{}:{}".format(*one.getsockname()) for one in (client, other)}
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    lines += [json.loads(line) for line in rest.splitlines()]
    assert all(line["slow_unread"] == 0 for line in lines)
    slow = [one for line in lines for one in line["slow"]]
    assert names <= {one["client"] for one in slow}
    assert sum(line["slow_requests"] for line in lines) == len(slow)
    found = decoded(timeline)
    threads = {one.thread.tid for one in tracks(found) if one.HasField("thread")}
    assert threads == {one["thread"] for one in slow}
    drawn = list(chain.from_iterable(slices(found).values()))
    whole = sorted((one.facts["client"], one.length) for one in drawn if one.depth == 0)
    assert whole == sorted((one["client"], one["whole_ns"]) for one in slow)
    parts = sum(one.length for one in drawn if one.depth == 1)
    assert parts == sum(one["whole_ns"] for one in slow)


def test_a_report_lists_the_slow_ones(server: Memcached) -> None:
    command = [*COMMAND, "observe", "--requests", "--port", str(server.port), "--interval", "1h"]
    with started(
        [*command, "--slower-than", "200ms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert "Ctrl-C ends" in process.stderr.readline()
        with connect(server.port) as client:
            answer(client, b"get x\r\n")
            stopped_get(server, client)
            name = "{}:{}".format(*client.getsockname())
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    assert re.search(r"\d+ slow requests?, by client", told)
    (row,) = [line for line in told.splitlines() if line.startswith(name)]
    assert "stopped" in row
    assert all(len(line) <= 100 for line in told.splitlines())


def test_options_without_what_they_take_are_refused(server: Memcached, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="slow requests are chosen") as refused:
        membench.observe(ports=[server.port], slower_than_s=0.001)
    assert "`requests=True`" in (refused.value.hint or "")
    with pytest.raises(UsageError, match="number of requests"):
        membench.observe(ports=[server.port], requests=True, slower_than_s=0.001, keep=0)
    timeline = tmp_path / "timeline"
    told = cli("observe", "--requests", "--perfetto", timeline).expect(UsageError.exit_code)
    assert "--slower-than" in told.stderr
    assert not timeline.exists()
