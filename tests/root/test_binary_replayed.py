"""Replays of the binary protocol: the target does what the recorded server did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.binary_workload import record_binary
from support.cli import Completed, membench, recorder
from support.mixed import Mixed, data_counts
from support.profile import Row, events
from support.server import memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Commands whose outcome may depend on a cas value that the target has not returned.
UNSURE = ("cas", "append", "delete")


class Twice(NamedTuple):
    """A recording, the report of its replay, and a recording of that replay."""

    first: Mixed
    report: Any
    moved: dict[str, int]
    second: list[Row]
    ended: Completed


@pytest.fixture(scope="module")
def twice(
    memcached_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twice]:
    """Record on an empty server; replay on another while recording that."""
    folder = tmp_path_factory.mktemp("twice")
    with memcached(threads=4, memory=1024, binary=memcached_binary) as source:
        first, _ = record_binary(source, folder / "first.mb", replayable=True)
    second = folder / "second.mb"
    with memcached(threads=4, memory=1024, binary=memcached_binary) as target:
        before = data_counts(target.settled_stats())
        with recorder(second, [target.port], "--no-stats") as running:
            replayed = membench(
                "replay", first.profile, target.address, "--format", "json", "--pacing", "recorded"
            )
            assert replayed.code in (0, 4), replayed.stderr
            ended = running.stop()
        after = data_counts(target.settled_stats())
        moved = {name: after[name] - before[name] for name in after}
        yield Twice(first, replayed.json, moved, data(second), ended)


def data(profile: Path) -> list[Row]:
    """Return the events of binary commands on a key that memcached accepted."""
    return [
        row for row in events(profile) if row["key"] is not None and row["protocol"] == "binary"
    ]


def test_a_replay_of_messages_is_complete_when_recorded(twice: Twice) -> None:
    twice.ended.expect(0)


def test_every_message_is_sent_and_answered_without_error(twice: Twice) -> None:
    report = twice.report
    assert report["planned"] == report["sent"] == report["answered"] + report["suppressed"]
    assert report["errors"] == 0
    assert "binary_protocol" not in report["skipped"]


def test_the_target_counts_every_command_that_was_recorded(twice: Twice) -> None:
    before, after = data_counts(twice.first.before), data_counts(twice.first.after)
    assert twice.moved == {name: after[name] - before[name] for name in after}


@pytest.mark.parametrize("column", ["options", "key_size", "request_size", "ttl", "flags"])
def test_recording_a_replay_of_messages_gives_the_same_requests(twice: Twice, column: str) -> None:
    first, second = (
        Counter((row["command"], row["key_size"], row[column]) for row in rows)
        for rows in (data(twice.first.profile), twice.second)
    )
    assert second == first


@pytest.mark.parametrize("column", ["outcome", "value_size", "initial_size", "vivify_ttl"])
def test_recording_a_replay_of_messages_gives_the_same_outcomes(twice: Twice, column: str) -> None:
    first, second = (
        Counter((row["command"], row["key_size"], row[column]) for row in rows if is_sure(row))
        for rows in (data(twice.first.profile), twice.second)
    )
    assert second == first


def is_sure(row: Row) -> bool:
    """Return true if neither the target's cas values nor unseen responses affect an event."""
    compared = row["command"] in UNSURE and "C" in row["options"].split()
    unsettled = row["command"] == "add" and row["options"] == "q"
    return row["command"] != "cas" and not compared and not unsettled
