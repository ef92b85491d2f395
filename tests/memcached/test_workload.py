"""The clients' log, against which recordings are checked, checked against memcached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from support.mixed import data_counts, perform_mixed
from support.oracle import KeyIds, KnownKeyIds, compare, expected
from support.profile import Row
from support.server import Memcached, memcached
from support.siphash import siphash
from support.unique import traffics
from support.workload import Connection

pytestmark = pytest.mark.memcached

Performed = tuple[list[Connection], dict[str, int]]

COLUMNS = ("ttl", "flags", "key_size", "value_size", "request_size", "outcome")


@pytest.fixture(scope="module")
def performed() -> Iterator[Performed]:
    """Run the mixed workload once; return the connections and memcached's counts."""
    with memcached(memory=1024) as server:
        yield perform_on(server)


def perform_on(server: Memcached) -> Performed:
    """Run the mixed workload; return the connections and the change of memcached's counters."""
    before = server.settled_stats()
    connections = [Connection(server.port, ordinal) for ordinal in range(4)]
    perform_mixed(connections, seed=3)
    after = server.settled_stats()
    start = data_counts(before)
    counted = {name: count - start[name] for name, count in data_counts(after).items()}
    moved = {name: int(after[name]) - int(before[name]) for name in ("bytes_read", "bytes_written")}
    return connections, counted | moved


def test_the_log_has_every_byte_and_command_that_memcached_counts(performed: Performed) -> None:
    connections, counted = performed
    log = [operation for one in connections for operation in one.log]
    assert sum(one.sent_bytes for one in connections) == counted["bytes_read"]
    assert sum(one.received_bytes for one in connections) == counted["bytes_written"]
    accepted = [operation for operation in log if operation.outcome != "client_error"]
    done = Counter(operation.command for operation in accepted)
    # Each worker creates a counter and invalidates an item, which memcached does not count.
    workers = len(connections) - 1
    assert counted["delete"] == done["delete"] + done["md"] - workers
    assert counted["incr"] + counted["decr"] == done["incr"] + done["decr"] + done["ma"] - workers
    assert counted["cas"] == done["cas"]
    assert counted["cmd_touch"] == done["touch"] + done["gat"] + done["gats"]


def events_of(connections: list[Connection]) -> dict[int, list[Row]]:
    """Return the events that a perfect recording of these connections would hold."""
    ids: dict[bytes, int] = {}
    recorded = {}
    for connection in connections:
        rows = []
        for operation in connection.log:
            row: Row = dict.fromkeys(COLUMNS)
            row |= expected(operation) | {"request": operation.request + 7}
            row["key"] = None if operation.key is None else ids.setdefault(operation.key, len(ids))
            row["options"] = "noreply" if operation.noreply else ""
            rows.append(row)
        recorded[connection.ordinal + 100] = rows
    return recorded


def test_a_perfect_recording_differs_in_nothing(performed: Performed) -> None:
    connections, _ = performed
    assert compare(connections, events_of(connections)) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.pop(),
        lambda rows: rows.pop(len(rows) // 2),
        lambda rows: rows.append(rows[-1]),
        lambda rows: rows[5].update(outcome="hit" if rows[5]["outcome"] != "hit" else "miss"),
        lambda rows: rows[5].update(key=rows[9]["key"]),
        lambda rows: rows[5].update(request_size=1),
        lambda rows: rows[5].update(options="noreply" if rows[5]["options"] == "" else ""),
        lambda rows: [
            row.update(outcome=before["outcome"])
            for before, row in zip(rows[:-1], list(rows[1:]), strict=True)
        ],
    ],
    ids=[
        "last missing",
        "one missing",
        "one twice",
        "outcome",
        "key",
        "size",
        "option",
        "outcomes shifted",
    ],
)
def test_any_fault_of_a_recording_is_found(
    performed: Performed, spoil: Callable[[list[Row]], object]
) -> None:
    connections, _ = performed
    recorded = events_of(connections)
    spoil(recorded[101])
    assert compare(connections, recorded) != []


def test_holes_are_allowed_where_they_are_asked_for_and_inventions_never(server: Memcached) -> None:
    (one,) = traffics(server.port, 1)
    for _ in range(5):
        one.pipeline()
    keys = KnownKeyIds(bytes(16))
    log = one.log(keys)
    ((_, rows),) = events_of([one.connection]).items()
    for row, operation in zip(rows, one.connection.log, strict=True):
        row["key"] = keys.id_of(operation.key or b"")
    assert log.places(rows) == (list(range(len(log))), [])
    assert log.places(rows[3:7] + rows[20:])[1] == []
    assert log.places([rows[4], rows[3]])[1] != []
    assert log.places([rows[3] | {"key": 12345}])[1] != []
    assert log.places([rows[3] | {"outcome": "deleted", "command": "get"}])[1] != []


def test_siphash_is_that_of_its_authors() -> None:
    assert siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5
    assert siphash(bytes(range(16)), b"") == 0x726FDB47DD0E0E31


def test_one_id_for_two_keys_does_not_agree() -> None:
    ids = KeyIds()
    assert ids.agree(b"one", 1)
    assert ids.agree(b"one", 1)
    assert not ids.agree(b"two", 1)
    assert not ids.agree(b"one", 2)
