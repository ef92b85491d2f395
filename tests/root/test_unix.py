"""memcached at the path of a UNIX-domain socket: exact to the byte, and kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest

import membench
from support.cli import read_ledger, recorder
from support.mixed import CONNECTIONS, Mixed, record_mixed
from support.oracle import compare
from support.profile import by_connection, events, table
from support.requests import plain, read, store
from support.server import Memcached, memcached
from support.waiting import until
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

REQUESTS = 20


@pytest.fixture(scope="module", params=["server", "client"])
def at_path(
    request: pytest.FixtureRequest, hooks: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mixed]:
    """Record the mixed workload on a server at a path, once at each end."""
    folder = tmp_path_factory.mktemp("unix")
    options = ("--hooks", hooks, "--side", request.param)
    with memcached(path=folder / "mc.sock", memory=1024) as server:
        yield record_mixed(server, folder / "unix.mb", *options)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Memcached]:
    """Start another server, at a path of the same length."""
    with memcached(path=tmp_path / "nc.sock") as running:
        yield running


def visit(server: Memcached, ordinal: int) -> Connection:
    """Open a marked connection and perform a few requests."""
    connection = Connection(server.endpoint, ordinal)
    connection.mark()
    for number in range(REQUESTS):
        connection.perform(store("set", b"k%d" % number, b"v" * 20), read("get", [b"k%d" % number]))
    return connection


@pytest.mark.quick
def test_every_byte_that_memcached_read_and_wrote_at_a_path_is_in_the_ledger(
    at_path: Mixed,
) -> None:
    at_path.recording.expect(0)
    ledger = at_path.info["ledger"]
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (
        at_path.request_bytes,
        at_path.response_bytes,
    )
    assert (ledger["complete"], ledger["boundary"]) == (True, 0), ledger
    assert [(one["port"], Path(one["path"]).name) for one in ledger["servers"]] == [(0, "mc.sock")]


@pytest.mark.quick
def test_events_at_a_path_are_what_the_clients_did(at_path: Mixed) -> None:
    assert compare(at_path.connections, at_path.events) == []


@pytest.mark.quick
def test_connections_at_a_path_are_named_and_one_was_open_before(at_path: Mixed) -> None:
    rows = table(at_path.profile, "connections")
    assert [row["transport"] for row in rows] == ["unix"] * (CONNECTIONS + 1)
    assert sum(row["opened"] is None for row in rows) == 1
    assert {(row["server"], row["lost_bytes"], row["resyncs"]) for row in rows} == {(0, 0, 0)}


@pytest.mark.parametrize("side", ["server", "client"])
def test_only_the_paths_asked_for_are_recorded(
    other: Memcached, output: Path, hooks: str, side: str
) -> None:
    assert other.path is not None
    path = other.path.with_name("mc.sock")
    options = ("--hooks", hooks, "--side", side)
    with (
        memcached(path=path) as wanted,
        recorder(output, [], "--no-stats", "--socket", str(path), *options) as running,
    ):
        made = visit(wanted, 0)
        visit(other, 1)
        running.stop().expect(0)
    assert compare([made], by_connection(events(output))) == []
    assert read_ledger(output)["request_bytes"] == made.sent_bytes


def test_a_path_and_a_port_are_recorded_together(
    server: Memcached, other: Memcached, output: Path
) -> None:
    with recorder(output, [server.port], "--no-stats", "--socket", str(other.path)) as running:
        made = [visit(server, 0), visit(other, 1)]
        running.stop().expect(0)
    assert compare(made, by_connection(events(output))) == []
    rows = table(output, "connections")
    assert [(row["server"], row["transport"]) for row in rows] == [(0, "tcp4"), (1, "unix")]


def test_a_process_at_a_path_is_found_by_its_pid(other: Memcached, output: Path) -> None:
    with recorder(output, [], "--no-stats", "--pid", str(other.pid)) as running:
        made = visit(other, 0)
        running.stop().expect(0)
    assert compare([made], by_connection(events(output))) == []


def test_its_own_counters_agree_with_the_recording(other: Memcached, output: Path) -> None:
    with recorder(output, [], "--socket", str(other.path)) as running:
        until(lambda: "memcached 1" in running.stderr_text(), "the server's answer")
        made = visit(other, 0)
        recording = running.stop().expect(0).json
    assert compare([made], by_connection(events(output))) == []
    assert len(recording["differences"]) == 2
    assert [one for one in recording["differences"] if one["server"] != one["recorded"]] == []
    assert recording["ledger"]["own_request_bytes"] > 0


def test_a_server_that_ends_a_connection_is_seen_by_its_client(
    other: Memcached, output: Path, hooks: str
) -> None:
    options = ("--no-stats", "--side", "client", "--hooks", hooks)
    with recorder(output, [], "--socket", str(other.path), *options) as running:
        leaves, quits = visit(other, 0), visit(other, 1)
        leaves.close()
        with pytest.raises(ConnectionError):
            quits.perform(plain("quit"))
        running.stop().expect(0)
    assert _closed(output) == ["server"], "who just closes its own end passes no hook"


def test_a_client_that_leaves_ends_its_connection(other: Memcached, output: Path) -> None:
    with recorder(output, [], "--no-stats", "--socket", str(other.path)) as running:
        made = visit(other, 0)
        made.close()
        quits = visit(other, 1)
        with pytest.raises(ConnectionError):
            quits.perform(plain("quit"))
        until(lambda: _closed(output) == ["client"], "the end being noted")
        running.stop().expect(0)
    assert _closed(output) == ["client"], "who asks memcached to leave is left by it: not seen"


def _closed(profile: Path) -> list[str]:
    rows = pyarrow.table(membench.open(profile).connections()).to_pylist()
    return [row["close_side"] for row in rows if row["closed"] is not None]
