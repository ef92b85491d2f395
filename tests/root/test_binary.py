"""Recordings of the binary protocol, against the clients' log and memcached's counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.binary import HEADER, REQUEST, ask, fetch, store, together, wrong_options
from support.binary_workload import SECRET, BinaryMixture, mark, record_binary
from support.cli import recorder
from support.mixed import Mixed
from support.oracle import KeyIds, compare
from support.profile import by_connection, events, texts
from support.requests import Exchange
from support.server import Memcached, memcached
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]


class Recorded(NamedTuple):
    """A recording, and the traffic of its binary connections."""

    mixed: Mixed
    mixtures: list[BinaryMixture]


@pytest.fixture(scope="module")
def recorded(
    memcached_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """Record the binary workload once, on a server with four threads."""
    with memcached(threads=4, memory=1024, binary=memcached_binary) as server:
        yield Recorded(*record_binary(server, tmp_path_factory.mktemp("binary") / "binary.mb"))


@pytest.mark.quick
def test_every_byte_of_messages_is_in_the_ledger(recorded: Recorded) -> None:
    mixed = recorded.mixed
    ledger = mixed.info["ledger"]
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (
        mixed.request_bytes,
        mixed.response_bytes,
    )


@pytest.mark.quick
def test_a_recording_of_messages_is_complete(recorded: Recorded) -> None:
    recorded.mixed.recording.expect(0)
    ledger = recorded.mixed.info["ledger"]
    assert (ledger["complete"], ledger["boundary"]) == (True, 0), ledger


@pytest.mark.quick
def test_events_are_what_the_binary_clients_did(recorded: Recorded) -> None:
    keys = KeyIds()
    assert compare(recorded.mixed.connections, recorded.mixed.events, keys) == []
    done = [operation for one in recorded.mixed.connections for operation in one.log]
    assert len(keys) == len({operation.key for operation in done if operation.key})
    outcomes = Counter(operation.outcome for operation in done if operation.protocol == "binary")
    assert min(outcomes.values()) > 0
    assert {"hit", "miss", "stored", "not_stored", "exists", "not_found"} <= outcomes.keys()


@pytest.mark.quick
def test_options_say_what_the_opcode_was(recorded: Recorded) -> None:
    rows = {events[0]["key_size"]: events for events in recorded.mixed.events.values()}
    for connection, mixture in zip(recorded.mixed.connections, recorded.mixtures, strict=False):
        _, *rest = rows[len(connection.log[0].key or b"")]
        assert wrong_options(mixture.parts, [row["options"] for row in rest]) == []


@pytest.mark.quick
def test_cas_values_sent_and_returned_have_one_ordinal(recorded: Recorded) -> None:
    ordinals, seen = KeyIds(), 0
    rows = {events[0]["key_size"]: events for events in recorded.mixed.events.values()}
    for connection in recorded.mixed.connections[:-1]:
        of_one = rows[len(connection.log[0].key or b"")]
        for operation, row in zip(connection.log, of_one, strict=True):
            if operation.cas is not None and operation.settled:
                seen += 1
                assert row["cas"] is not None, operation
                assert ordinals.agree(str(operation.cas).encode(), row["cas"]), operation
    assert seen > len(recorded.mixtures)


def test_secrets_of_authentication_are_nowhere(recorded: Recorded) -> None:
    held = texts(recorded.mixed.profile)
    assert SECRET not in held
    assert b"PLAIN" not in held


@pytest.mark.parametrize("responses", ["none", "lengths"])
def test_binary_requests_are_whole_whatever_is_looked_at_of_responses(
    server: Memcached, tmp_path: Path, responses: str
) -> None:
    mixed, _ = record_binary(server, tmp_path / "less.mb", "--responses", responses)
    log = [operation for one in mixed.connections for operation in one.log]
    assert mixed.info["commands"] == Counter(operation.command for operation in log)
    assert mixed.info["ledger"]["request_bytes"] == mixed.request_bytes
    rows = {events[0]["key_size"]: events for events in mixed.events.values()}
    for connection in mixed.connections:
        of_one = rows[len(connection.log[0].key or b"")]
        for did, row in zip(connection.log, of_one, strict=True):
            assert row["outcome"] in (None, did.outcome), (did, row)


def test_lengths_that_close_the_connection_end_it(server: Memcached, output: Path) -> None:
    refused = ask("get", b"key", extras=b"\0\0\0\0")
    refused.operation.key = None
    rest = HEADER.pack(REQUEST, 0x0A, 0, 0, 0, 0, 0, 0, 0)
    connection = Connection(server.port, 0)
    with recorder(output, [server.port], "--no-stats") as running:
        mark(connection)
        exchange = together(fetch("get", b"a"), refused)
        sent = Exchange(exchange.data + rest, exchange.requests, exchange.settle)
        connection.perform(sent)
        ended = running.stop().expect(0)
    assert compare([connection], by_connection(events(output))) == []
    assert ended.json["ledger"]["boundary"] == len(rest)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_binary_quit_is_answered_unless_it_is_quiet(
    server: Memcached, output: Path, quiet: bool
) -> None:
    connection = Connection(server.port, 0)
    with recorder(output, [server.port], "--no-stats") as running:
        mark(connection)
        flush = ask("flush_all", quiet=quiet)
        connection.perform(together(flush, ask("noop"), ask("quit", quiet=quiet)))
        running.stop().expect(0)
    assert compare([connection], by_connection(events(output))) == []


def test_the_protocol_of_an_open_connection_is_known_from_its_first_whole_request(
    server: Memcached, output: Path
) -> None:
    connection = Connection(server.port, 0)
    value = b"v" * 100_000
    whole = together(store("set", b"begun before", value), fetch("get", b"begun before"))
    connection.send(whole.data[:50_000])
    with recorder(output, [server.port], "--no-stats") as running:
        connection.send(whole.data[50_000:])
        whole.settle(connection.reader)
        mark(connection)
        connection.perform(together(fetch("getk", b"begun before")))
        running.stop().expect(0)
    (rows,) = by_connection(events(output)).values()
    assert [row["outcome"] for row in rows[-2:]] == ["miss", "hit"]
    assert {row["protocol"] for row in rows} == {"binary"}


def test_memcached_counts_the_cas_values_that_were_recorded_as_compared(
    recorded: Recorded,
) -> None:
    rows = [row for rows in recorded.mixed.events.values() for row in rows]
    compared = Counter(row["outcome"] for row in rows if row["command"] == "cas")
    counters = {"stored": "cas_hits", "exists": "cas_badval", "not_found": "cas_misses"}
    assert compared == {name: recorded.mixed.moved(of) for name, of in counters.items()}
