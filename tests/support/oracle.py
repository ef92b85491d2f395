"""A client's log and a profile's events → their differences, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from support.profile import Row
from support.requests import UNCHECKED, Operation
from support.siphash import siphash
from support.workload import MARKER, Connection

#: Differences listed at most: more of them say nothing new.
SHOWN = 12


class KeyIds:
    """Pairs of keys and key ids seen so far: each key has one id, each id one key."""

    def __init__(self) -> None:
        """Start without any pair."""
        self._ids: dict[bytes, int] = {}
        self._keys: dict[int, bytes] = {}

    def agree(self, key: bytes, key_id: int) -> bool:
        """Return true if this pair contradicts none of those seen before."""
        return (
            self._ids.setdefault(key, key_id) == key_id
            and self._keys.setdefault(key_id, key) == key
        )

    def __len__(self) -> int:
        """Return the number of distinct keys."""
        return len(self._ids)


class KnownKeyIds(KeyIds):
    """Key ids made with a known secret, by the tests' own SipHash."""

    def __init__(self, secret: bytes) -> None:
        """Take the secret, 16 bytes."""
        super().__init__()
        self._secret = secret

    def id_of(self, key: bytes) -> int:
        """Return the id that `key` must have."""
        if key not in self._ids:
            self._ids[key] = siphash(self._secret, key)
        return self._ids[key]

    def agree(self, key: bytes, key_id: int) -> bool:
        """Return true if `key_id` is the id of `key`."""
        return self.id_of(key) == key_id


def expected(operation: Operation) -> Row:
    """Return the columns of an event whose value the client knows."""
    row: Row = {
        "command": operation.command,
        "protocol": operation.protocol,
        "key_size": None if operation.key is None else len(operation.key),
        "request_size": operation.request_size,
        "value_size": operation.value_size,
    }
    if operation.command == "set" and operation.key is None:
        del row["key_size"]  # refused for its key, whose size need not be recorded
    if operation.settled:
        row["outcome"] = operation.outcome
    row |= {
        name: value for name in ("ttl", "flags") if (value := getattr(operation, name)) is not None
    }
    return {name: value for name, value in row.items() if value != UNCHECKED}


def compare_operation(operation: Operation, event: Row, keys: KeyIds) -> list[str]:
    """Describe how an event differs from the operation it should record."""
    wrong = [
        f"{name}: did {value}, recorded {event[name]}"
        for name, value in expected(operation).items()
        if event[name] != value
    ]
    if not operation.settled and event["outcome"] not in (None, operation.outcome):
        wrong.append(f"outcome: {operation.outcome} or null, recorded {event['outcome']}")
    if operation.key is not None and not (
        event["key"] is not None and keys.agree(operation.key, event["key"])
    ):
        wrong.append(f"key id {event['key']} is not that of this key")
    if operation.noreply != ("noreply" in (event["options"] or "").split()):
        wrong.append(f"options {event['options']!r}, noreply was {operation.noreply}")
    return [
        f"connection {operation.connection} request {operation.request} {operation.command}: {text}"
        for text in wrong
    ]


def compare_connection(
    log: Sequence[Operation], recorded: Sequence[Row], keys: KeyIds
) -> list[str]:
    """Describe how one connection's events differ from its complete log."""
    if not recorded:
        return (
            [f"connection {log[0].connection}: nothing recorded of {len(log)} operations"]
            if log
            else []
        )
    wrong = []
    if len(log) != len(recorded):
        wrong.append(
            f"connection {log[0].connection}: did {len(log)} operations, recorded {len(recorded)}"
        )
    first, started = recorded[0]["request"], log[0].request
    for operation, event in zip(log, recorded, strict=False):
        if event["request"] - first != operation.request - started:
            wrong.append(
                f"connection {operation.connection}: request {operation.request} "
                f"is numbered {event['request'] - first}"
            )
        wrong += compare_operation(operation, event, keys)
        if len(wrong) > SHOWN:
            return [*wrong[:SHOWN], "…"]
    return wrong


def marked(
    connections: Iterable[Connection], recorded: dict[int, list[Row]]
) -> dict[int, list[Row]]:
    """Return each connection's events, found by the size of its first key."""
    found = {
        rows[0]["key_size"] - MARKER: rows
        for rows in recorded.values()
        if (rows[0]["key_size"] or 0) >= MARKER
    }
    return {connection.ordinal: found.get(connection.ordinal, []) for connection in connections}


def compare(
    connections: Sequence[Connection], recorded: dict[int, list[Row]], keys: KeyIds | None = None
) -> list[str]:
    """Describe how a complete recording differs from the logs of its marked clients."""
    keys = KeyIds() if keys is None else keys
    found = marked(connections, recorded)
    wrong = (
        [f"{len(recorded)} connections recorded, {len(connections)} made"]
        if len(recorded) != len(connections)
        else []
    )
    for connection in connections:
        wrong += compare_connection(connection.log, found[connection.ordinal], keys)
    return wrong


class Log:
    """Operations of one connection, found by command and key: each pair occurs once."""

    def __init__(self, operations: Sequence[Operation], keys: KnownKeyIds) -> None:
        """Index the operations that have a key."""
        self._operations = operations
        keyed = [
            (place, operation)
            for place, operation in enumerate(operations)
            if operation.key is not None
        ]
        self._places = {
            (operation.command, keys.id_of(operation.key or b"")): place
            for place, operation in keyed
        }
        assert len(self._places) == len(keyed), (
            "the workload asked for a key twice, so its events cannot be told apart"
        )

    def __len__(self) -> int:
        """Return the number of operations performed."""
        return len(self._operations)

    def places(self, recorded: Sequence[Row]) -> tuple[list[int], list[str]]:
        """Return each event's place in the log, and describe those invented, out of order or wrong.

        A null outcome or size means that it was not seen; any other must be right.
        """
        places: list[int] = []
        wrong: list[str] = []
        for event in recorded:
            place = self._places.get((event["command"], event["key"]))
            if place is None:
                wrong.append(
                    f"invented: {event['command']} of {event['key_size']} bytes, {event['outcome']}"
                )
                continue
            if places and place <= places[-1]:
                wrong.append(f"out of order: operation {place} after {places[-1]}")
            places.append(place)
            wrong += self._differences(place, event)
        return places, wrong[:SHOWN]

    def _differences(self, place: int, event: Row) -> list[str]:
        told = expected(self._operations[place])
        given = {
            name: value
            for name, value in told.items()
            if event[name] is not None or name == "key_size"
        }
        return [
            f"operation {place} {name}: did {value}, recorded {event[name]}"
            for name, value in given.items()
            if event[name] != value
        ]
