"""A recording's events, and the growth of a server's own counters → the counters that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from support.cli import membench
from support.profile import Row, events

READS = ("get", "gets", "mg")
STORES = ("set", "add", "replace", "append", "prepend", "cas", "ms")
#: Outcomes of requests that are refused before anything is looked up or stored.
REFUSED = ("client_error", "server_error")


def counted(rows: list[Row]) -> dict[str, int]:
    """Return the growth of the server's counters that the events imply, by the counters' names."""
    found = Counter((row["command"], row["outcome"]) for row in rows)

    def total(commands: tuple[str, ...], outcomes: tuple[str, ...] | None = None) -> int:
        return sum(
            count
            for (command, outcome), count in found.items()
            if command in commands
            and (outcome not in REFUSED if outcomes is None else outcome in outcomes)
        )

    return {
        "get_hits": total(READS, ("hit", "won", "stale")),
        "get_misses": total(READS, ("miss", "suppressed")),
        "cmd_set": total(STORES),
        "delete_hits delete_misses": total(("delete", "md")),
        "incr_hits incr_misses": total(("incr",)),
        "decr_hits decr_misses": total(("decr",)),
        "touch_hits touch_misses": total(("touch", "gat", "gats")),
        # Refused ones count as well.
        "cmd_flush": sum(row["command"] == "flush_all" for row in rows),
    }


def differing(
    profile: Path, before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Return the counters that differ: what the server counted, and what was recorded."""
    return differing_from(events(profile), before, after)


def differing_from(
    rows: list[Row], before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Return the counters in which a server differs from the events of its connections."""
    grown = {
        names: sum(int(after[name]) - int(before.get(name, 0)) for name in names.split())
        for names in counted([])
    }
    recorded = counted(rows)
    return {
        names: (grown[names], recorded[names]) for names in grown if grown[names] != recorded[names]
    }


def expect_complete(profile: Path) -> None:
    """Fail unless the recording is complete, and the outcome of every event known.

    A client that says `quit` may be gone before the server can answer that.
    """
    ledger = membench("info", profile, "--format", "json").expect(0).json["ledger"]
    assert ledger["complete"] is True, ledger
    unknown = Counter(row["command"] for row in events(profile) if row["outcome"] is None)
    assert not unknown.keys() - {"quit"}, unknown
