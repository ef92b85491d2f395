"""Two recordings of one run → where their events differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.profile import Row, by_connection, events

#: Columns on which two ways of recording must agree, event by event.
SAME = ("command", "protocol", "key", "key_size", "value_size", "request_size", "ttl", "flags")
SAME += ("delta_size", "initial_size", "opaque_size", "options", "outcome", "request")


def shape(rows: list[Row]) -> list[tuple[Any, ...]]:
    """Return the columns that must agree of each event of a connection."""
    return [tuple(row[name] for name in SAME) for row in rows]


def differing(one: Path, other: Path) -> list[str]:
    """Name the connections, by their first key, that the two profiles do not hold alike."""
    first, second = (
        {rows[0]["key"]: shape(rows) for rows in by_connection(events(profile)).values()}
        for profile in (one, other)
    )
    absent = [
        f"{key} is in {profile.name} only: {len(rows)} events, first {rows[:2]}"
        for profile, found, others in ((one, first, second), (other, second, first))
        for key, rows in found.items()
        if key not in others
    ]
    both = first.keys() & second.keys()
    return absent + [
        f"{key}: {_first(first[key], second[key])}" for key in both if first[key] != second[key]
    ]


def _first(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> str:
    """Describe the first place where two connections differ."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"event {place}: {left} and {right}"
    return f"{len(one)} and {len(other)} events"
