"""A recording replayed: the target did what the recorded server did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.cli import membench, recorder
from support.mixed import Mixed, data_counts, record_mixed
from support.profile import Row, events
from support.requests import read, store
from support.server import Memcached, memcached
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Fast enough for a test, slow enough to show that order holds.
#: Bytes of `version`, `stats` and the like that a replay asks its target, at most.
QUESTIONS = 200
PACING = ("--pacing", "speed=10")


def replay(profile: Path, server: Memcached, *options: str) -> Any:  # noqa: ANN401 - any JSON
    """Replay with JSON out; a pacing that could not be held is not what these tests are about."""
    ended = membench("replay", profile, server.address, "--format", "json", *options)
    assert ended.code in (0, 4), ended.stderr
    return ended.json


class Replayed(NamedTuple):
    """The report of a replay, and the target's counters before and after."""

    report: Any
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def replayed(mixed: Mixed) -> Replayed:
    """The report of replaying the mixed recording, and the target's counters before and after."""
    with memcached(threads=4, memory=1024) as target:
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


def test_the_difference_in_bytes_from_the_recording_is_explained(
    mixed: Mixed, replayed: Replayed
) -> None:
    recorded = sum(row["request_size"] or 0 for rows in mixed.events.values() for row in rows)
    skipped = sum(replayed.report["server"]["bytes_not_replayed"].values())
    changed = sum(replayed.report["server"]["bytes_changed"].values())
    wrote = replayed.report["server"]["bytes_written_by_replay"]
    assert recorded - skipped + changed == wrote


def test_every_planned_request_is_sent_and_answered(replayed: Replayed) -> None:
    report = replayed.report
    assert report["planned"] == report["sent"] == report["answered"] + report["suppressed"]
    assert report["errors"] == 0


def test_outcomes_of_a_replay_on_an_empty_server_are_the_recorded_ones(replayed: Replayed) -> None:
    outcomes = replayed.report["outcomes"]
    assert outcomes["replayed"] == outcomes["recorded"]


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


def shapes(profile: Path) -> Counter[tuple[Any, ...]]:
    """How often each (command, sizes, outcome) occurs; administration is not replayed."""
    return Counter(
        (row["command"], row["key_size"], row["value_size"], row["outcome"])
        for row in events(profile)
        if is_data(row)
    )


def is_data(row: Row) -> bool:
    """Whether an event is a command on a key that memcached accepted."""
    return row["key"] is not None and row["outcome"] != "client_error"


def test_recording_a_replay_gives_the_recording(tmp_path: Path) -> None:
    with memcached(memory=1024) as source:
        first = record_mixed(source, tmp_path / "first.mb", seed=2)
    second = tmp_path / "second.mb"
    with memcached(memory=1024) as target, recorder(second, [target.port], "--no-stats") as running:
        replay(first.profile, target, *PACING)
        running.stop().must(0)
    assert shapes(second) == shapes(first.profile)


def test_warming_gives_the_hits_of_keys_that_were_there_before(tmp_path: Path) -> None:
    keys = [b"present-%d" % number for number in range(40)]
    with memcached() as source:
        connection = Connection(source.port, 0)
        connection.perform(*(store("set", key, b"v" * 99) for key in keys))
        with recorder(tmp_path / "warm.mb", [source.port], "--no-stats") as running:
            connection.perform(*(read("get", [key]) for key in [*keys, b"absent"]))
            running.stop().must(0)
    with memcached() as cold:
        assert replay(tmp_path / "warm.mb", cold)["outcomes"]["replayed"] == {"get": {"miss": 41}}
    with memcached() as warmed:
        assert replay(tmp_path / "warm.mb", warmed, "--warm")["outcomes"]["replayed"] == {
            "get": {"hit": 40, "miss": 1}
        }
