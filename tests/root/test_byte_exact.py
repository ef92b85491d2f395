"""Recordings of everything clients do, against their log and memcached's counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import membench as library
from support.cli import read_info, recorder
from support.kernel import OWN_HOOKS, default_hooks
from support.mixed import CONNECTIONS, Mixed, record_mixed
from support.oracle import KeyIds, compare
from support.profile import by_connection, events, table
from support.requests import read, store
from support.server import Memcached, memcached
from support.unique import key_file
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]


@pytest.fixture(scope="module", params=[None] if OWN_HOOKS else [None, "syscalls"])
def recorded(
    request: pytest.FixtureRequest, mixed: Mixed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mixed]:
    """Return the mixed workload recorded with this kernel's default hooks, then with `syscalls`."""
    if request.param is None:
        yield mixed
        return
    if request.param == default_hooks():
        pytest.skip("this kernel is recorded with the syscalls hooks anyway")
    with memcached(threads=4, memory=1024) as server:
        folder = tmp_path_factory.mktemp("mixed")
        yield record_mixed(server, folder / "mixed.mb", "--hooks", request.param)


@pytest.mark.quick
def test_every_byte_that_memcached_read_and_wrote_is_in_the_ledger(recorded: Mixed) -> None:
    ledger = recorded.info["ledger"]
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (
        recorded.request_bytes,
        recorded.response_bytes,
    )


@pytest.mark.quick
def test_a_recording_with_idle_edges_is_complete_and_has_no_boundary(recorded: Mixed) -> None:
    recorded.recording.expect(0)
    ledger = recorded.info["ledger"]
    assert (ledger["complete"], ledger["boundary"]) == (True, 0), ledger


@pytest.mark.quick
def test_the_ledger_of_each_direction_adds_up(recorded: Mixed) -> None:
    parts = (
        "parsed",
        "value_skipped",
        "text_skipped",
        "boundary",
        "unsynced",
        "truncated",
        "not_decoded",
    )
    assert recorded.info["ledger"]["servers"]
    for server in recorded.info["ledger"]["servers"]:
        for direction in ("request", "response"):
            flow = server[direction]
            assert flow["seen"] == sum(flow[part] for part in parts), (direction, flow)


@pytest.mark.quick
def test_events_are_what_the_clients_did(recorded: Mixed) -> None:
    keys = KeyIds()
    assert compare(recorded.connections, recorded.events, keys) == []
    assert len(keys) == len(
        {operation.key for one in recorded.connections for operation in one.log if operation.key}
    )


@pytest.mark.quick
def test_equal_cas_values_have_equal_ordinals(recorded: Mixed) -> None:
    ordinals = KeyIds()  # cas values and ordinals are one to one as well
    found = {tuple(row["key_size"] for row in rows[:1]): rows for rows in recorded.events.values()}
    seen = 0
    for connection in recorded.connections:
        rows = found[(connection.log[0].key and len(connection.log[0].key),)]
        for operation, row in zip(connection.log, rows, strict=True):
            if operation.cas is not None and operation.protocol == "text":
                seen += 1
                assert row["cas"] is not None
                assert ordinals.agree(str(operation.cas).encode(), row["cas"]), (operation, row)
    assert seen > CONNECTIONS


@pytest.mark.quick
def test_info_counts_what_the_clients_did(recorded: Mixed) -> None:
    log = [operation for one in recorded.connections for operation in one.log]
    info = recorded.info
    assert info["events"] == len(log)
    assert info["connections"] == len(recorded.connections)
    assert info["commands"] == Counter(operation.command for operation in log)
    assert (info["state"], info["source"], info["schema_version"]) == ("sealed", "ebpf:any", 4)


@pytest.mark.quick
def test_info_counts_outcomes(recorded: Mixed) -> None:
    log = [operation for one in recorded.connections for operation in one.log]
    outcomes = Counter(operation.outcome for operation in log if operation.settled)
    unsettled = sum(not operation.settled for operation in log)
    assert recorded.info["outcomes"]
    for name, count in recorded.info["outcomes"].items():
        assert 0 <= count - outcomes[name] <= unsettled, name


@pytest.mark.quick
def test_connections_say_which_were_open_before_and_how_they_are_reached(recorded: Mixed) -> None:
    rows = table(recorded.profile, "connections")
    assert sorted(row["transport"] for row in rows) == ["tcp4"] * CONNECTIONS + ["tcp6"]
    assert sum(row["opened"] is None for row in rows) == 1
    assert {(row["lost_bytes"], row["resyncs"]) for row in rows} == {(0, 0)}


@pytest.mark.quick
def test_times_never_run_backwards_on_a_connection(recorded: Mixed) -> None:
    assert recorded.events
    for rows in recorded.events.values():
        times = [row["time"] for row in rows]
        assert times == sorted(times)
        assert [row["batch"] for row in rows] == sorted(row["batch"] for row in rows)


@pytest.mark.quick
def test_every_answered_request_has_a_server_time(recorded: Mixed) -> None:
    rows = [row for rows in recorded.events.values() for row in rows]
    answered = [row for row in rows if row["outcome"] not in (None, "suppressed")]
    assert answered
    assert all(row["server_time"] is not None for row in answered)


def test_the_library_reads_the_events_that_pyarrow_reads(recorded: Mixed) -> None:
    whole = pa.table(library.open(recorded.profile))
    ours = sorted(map(str, whole.to_pylist()))
    assert ours == sorted(map(str, events(recorded.profile)))


@pytest.mark.parametrize("depth", [2, 20])
def test_requests_of_one_write_share_a_batch_and_those_of_the_next_do_not(
    server: Memcached, output: Path, depth: int
) -> None:
    with recorder(output, [server.port]) as running:
        connection = Connection(server.port, 0)
        for flight in range(5):
            connection.perform(
                *(read("get", [b"flight-%d-%d" % (flight, place)]) for place in range(depth))
            )
        running.stop().expect(0)
    rows = [row for row in events(output) if row["key"] is not None]
    assert [count for _, count in sorted(Counter(row["batch"] for row in rows).items())] == [
        depth
    ] * 5


def test_requests_that_are_read_before_earlier_ones_are_answered_are_paired(
    server: Memcached, output: Path
) -> None:
    """Send a multi-get longer than the read buffer: memcached reads on while reads fill it."""
    keys = [(b"long-%d-" % number).ljust(250, b"k") for number in range(100)]
    connection = Connection(server.port, 0)
    for key in keys[::2]:
        connection.perform(store("set", key, b"v" * 50))
    connection.log.clear()
    with recorder(output, [server.port], "--no-stats") as running:
        connection.mark()
        short = (read("get", [b"short-%d" % number]) for number in range(1500))
        connection.perform(read("gets", keys), *short)
        running.stop().expect(0)
    assert compare([connection], by_connection(events(output))) == []


def test_key_ids_are_the_keyed_hash_of_the_key(
    server: Memcached, output: Path, tmp_path: Path
) -> None:
    path, ids = key_file(tmp_path)
    connection = Connection(server.port, 0)
    with recorder(output, [server.port], "--key-file", str(path)) as running:
        connection.mark()
        connection.perform(store("set", b"a", b"1"), read("get", [b"a", b"b" * 250, b"c:d"]))
        running.stop().expect(0)
    assert compare([connection], by_connection(recorded_by(connection, output)), ids) == []


def recorded_by(connection: Connection, profile: Path) -> list[dict[str, object]]:
    """Return the events of one marked connection, without the recorder's own requests."""
    rows = events(profile)
    (own,) = {
        row["connection"] for row in rows if row["key_size"] == len(connection.log[0].key or b"")
    }
    return [row for row in rows if row["connection"] == own]


def test_two_recordings_share_no_key_ids_unless_they_share_a_key(
    server: Memcached, tmp_path: Path
) -> None:
    found = []
    for name in ("one.mb", "two.mb"):
        with recorder(tmp_path / name, [server.port], "--no-stats") as running:
            connection = Connection(server.port, 0)
            connection.perform(*(read("get", [b"shared-%d" % number]) for number in range(50)))
            running.stop().expect(0)
        found.append({row["key"] for row in events(tmp_path / name)})
    assert [len(ids) for ids in found] == [50, 50]
    assert not found[0] & found[1]


@pytest.mark.quick
def test_the_servers_own_counters_agree_with_the_recording(tmp_path: Path) -> None:
    with memcached() as server, recorder(tmp_path / "agreed.mb", [server.port]) as running:
        connection = Connection(server.port, 0)
        connection.perform(*(read("get", [b"counted-%d" % number]) for number in range(50)))
        differences = running.stop().expect(0).json["differences"]
    assert differences
    assert [row for row in differences if row["server"] != row["recorded"]] == []


@pytest.mark.parametrize("responses", ["none", "lengths"])
def test_requests_are_whole_whatever_is_looked_at_of_responses(
    server: Memcached, tmp_path: Path, responses: str
) -> None:
    mixed = record_mixed(server, tmp_path / "less.mb", "--responses", responses)
    log = [operation for one in mixed.connections for operation in one.log]
    info = read_info(mixed.profile)
    assert info["commands"] == Counter(operation.command for operation in log)
    assert info["ledger"]["request_bytes"] == mixed.request_bytes
    assert wrong_outcomes(mixed) == []


def wrong_outcomes(mixed: Mixed) -> list[str]:
    """Describe recorded outcomes that are wrong; null is right for one that was not seen."""
    recorded = {rows[0]["key_size"]: rows for rows in mixed.events.values()}
    wrong = []
    for connection in mixed.connections:
        rows = recorded[len(connection.log[0].key or b"")]
        pairs = zip(connection.log, rows, strict=True)
        wrong += [
            f"{did}: {row['outcome']}"
            for did, row in pairs
            if row["outcome"] not in (None, did.outcome)
        ]
    return wrong
