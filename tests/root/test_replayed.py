"""Replays of a recording: the target does what the recorded server did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.cli import Completed, membench, recorder
from support.mixed import Mixed, data_counts, record_mixed
from support.profile import Row, events
from support.requests import read, store
from support.server import Memcached, memcached
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Upper bound for the replay's own requests (`version`, `stats`, …), bytes.
QUESTIONS = 200
#: At its own pace: another one scales expiry times.
PACING = ("--pacing", "recorded")


def replay(profile: Path, server: Memcached, *options: str) -> Any:  # noqa: ANN401 - any JSON
    """Replay and return the JSON report; timing that was not held is accepted."""
    ended = membench("replay", profile, server.address, "--format", "json", *options)
    assert ended.code in (0, 4), ended.stderr
    return ended.json


class Replayed(NamedTuple):
    """Report of a replay, and the target's counters before and after."""

    report: Any
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def replayed(memcached_binary: str | None, mixed: Mixed) -> Replayed:
    """Replay the mixed recording on an empty server."""
    with memcached(threads=4, memory=1024, binary=memcached_binary) as target:
        before = target.settled_stats()
        report = replay(mixed.profile, target, *PACING)
        return Replayed(report, before, target.settled_stats())


def test_the_target_counts_every_data_command_that_was_recorded(
    mixed: Mixed, replayed: Replayed
) -> None:
    _, before, after = replayed
    first, last, recorded = data_counts(before), data_counts(after), data_counts(mixed.after)
    start = data_counts(mixed.before)
    assert {name: last[name] - first[name] for name in last} == {
        name: recorded[name] - start[name] for name in recorded
    }


def test_the_target_read_what_replay_says_it_wrote(replayed: Replayed) -> None:
    report, before, after = replayed
    wrote = report["server"]["bytes_written_by_replay"]
    assert report["server"]["bytes_read"] == wrote
    questions = int(after["bytes_read"]) - int(before["bytes_read"]) - wrote
    assert 0 < questions < QUESTIONS


def test_every_planned_request_is_sent_and_answered(replayed: Replayed) -> None:
    report = replayed.report
    assert report["planned"] == report["sent"] == report["answered"] + report["suppressed"]
    assert report["errors"] == 0


def test_outcomes_of_a_replay_on_an_empty_server_are_the_recorded_ones(replayed: Replayed) -> None:
    recorded, again = (replayed.report["outcomes"][which] for which in ("recorded", "replayed"))
    assert sure(again) == sure(recorded)


def sure(outcomes: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Drop commands with unseen outcomes, and `cas`, whose value may come after it is due."""
    unseen = {name for name, counts in outcomes.items() if "not_seen" in counts} | {"ms", "cas"}
    return {name: counts for name, counts in outcomes.items() if name not in unseen}


def test_a_replay_names_every_measure_in_nanoseconds(replayed: Replayed) -> None:
    report = replayed.report
    for measure in ("response_ns", "service_ns"):
        for of in (report[measure], report[measure]["by_command"]["get"]):
            values = [of[name] for name in ("p50", "p90", "p95", "p99", "p999", "max")]
            assert values == sorted(values)
            assert 0 < of["mean"] <= of["max"]
    assert report["lag_ns"]["max"] >= report["lag_ns"]["p50"] >= 0
    assert report["generator"]["cpu_ns_per_request"] > 0
    assert isinstance(report["timing_held"], bool)


class Twice(NamedTuple):
    """Events of a recording, and of a recording of its replay."""

    first: list[Row]
    second: list[Row]
    ended: Completed


@pytest.fixture(scope="module")
def twice(memcached_binary: str | None, tmp_path_factory: pytest.TempPathFactory) -> Twice:
    """Record the mixed workload on an empty server; replay it on another while recording that."""
    folder = tmp_path_factory.mktemp("twice")
    with memcached(memory=1024, binary=memcached_binary) as source:
        first = record_mixed(source, folder / "first.mb", seed=2)
    second = folder / "second.mb"
    with (
        memcached(memory=1024, binary=memcached_binary) as target,
        recorder(second, [target.port], "--no-stats") as running,
    ):
        replay(first.profile, target, *PACING)
        ended = running.stop()
    return Twice(data(first.profile), data(second), ended)


def data(profile: Path) -> list[Row]:
    """Return the events on a key that memcached accepted; other commands are not replayed."""
    rows = events(profile)
    return [row for row in rows if row["key"] is not None and row["outcome"] != "client_error"]


def test_a_replay_that_is_recorded_is_complete(twice: Twice) -> None:
    twice.ended.expect(0)


def test_recording_a_replay_gives_the_same_commands_and_sizes(twice: Twice) -> None:
    first, second = (
        Counter((row["command"], row["protocol"], row["key_size"], row["options"]) for row in rows)
        for rows in twice[:2]
    )
    assert second == first


@pytest.mark.parametrize("column", ["outcome", "value_size", "request_size"])
def test_recording_a_replay_gives_the_same_outcomes_and_sizes(twice: Twice, column: str) -> None:
    first, second = (
        Counter((row["command"], row["key_size"], row[column]) for row in rows)
        for rows in (decided(twice.first, column), decided(twice.second, column))
    )
    assert second == first


def decided(rows: list[Row], column: str) -> list[Row]:
    """Return the events whose column the replay decides.

    A counter is replayed with other amounts of as many digits, and can reach another number of
    digits itself.
    """
    counted = {row["key"] for row in rows if row["command"] in ("incr", "decr", "ma")}
    keeps_size = column != "value_size"
    return [row for row in rows if is_sure(row) and (keeps_size or row["key"] not in counted)]


def is_sure(row: Row) -> bool:
    """Return true if neither the target's cas values nor unseen responses affect an event."""
    return row["command"] != "cas" and not (row["command"] == "ms" and row["options"] == "ME q")


def test_only_requests_with_a_cas_value_differ_in_bytes(twice: Twice) -> None:
    first, second = (requested(rows) for rows in twice[:2])
    assert {name for name, size in first.items() if second[name] != size} <= {"cas"}


def requested(rows: list[Row]) -> Counter[str]:
    """Return the bytes of requests by command."""
    total: Counter[str] = Counter()
    for row in rows:
        total[row["command"]] += row["request_size"] or 0
    return total


def test_warming_gives_the_hits_of_keys_that_were_there_before(tmp_path: Path) -> None:
    keys = [b"present-%d" % number for number in range(40)]
    with memcached() as source:
        connection = Connection(source.port, 0)
        connection.perform(*(store("set", key, b"v" * 99) for key in keys))
        with recorder(tmp_path / "warm.mb", [source.port], "--no-stats") as running:
            connection.perform(*(read("get", [key]) for key in [*keys, b"absent"]))
            running.stop().expect(0)
    with memcached() as cold:
        assert replay(tmp_path / "warm.mb", cold)["outcomes"]["replayed"] == {"get": {"miss": 41}}
    with memcached() as warmed:
        assert replay(tmp_path / "warm.mb", warmed, "--warm")["outcomes"]["replayed"] == {
            "get": {"hit": 40, "miss": 1}
        }
