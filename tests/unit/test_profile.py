"""Profiles opened from Python: those in `tests/data`, as the example `profiles.rs` writes them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pytest

import membench
from membench.errors import ProfileError, UsageError

DATA = Path(__file__).parent.parent / "data"
EVENTS = 40
COMMANDS = {"get": 30, "set": 10}
OUTCOMES = {"hit": 24, "miss": 6, "stored": 5, "suppressed": 5}


@pytest.fixture(params=["sealed", "killed"])
def either(request: pytest.FixtureRequest) -> Path:
    """Return a sealed profile, then one whose recorder was killed."""
    return DATA / request.param


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a profile for a test to change."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(DATA / name, tmp_path / name))

    return copied


def test_every_event_comes_in_order(either: Path) -> None:
    profile = membench.open(either)
    events = list(profile)
    assert len(events) == len(profile) == EVENTS
    assert [event.time_us for event in events] == sorted(event.time_us for event in events)
    assert Counter(event.command for event in events) == COMMANDS
    assert Counter(event.outcome for event in events) == OUTCOMES
    assert [event.request for event in events if event.connection == 3] == list(range(10))


def test_an_event_has_the_recorded_values_and_none_elsewhere(either: Path) -> None:
    event = list(membench.open(either))[3]
    assert (event.command, event.options, event.outcome) == ("set", "noreply", "suppressed")
    assert (event.key_size, event.value_size, event.request_size) == (20, 100, 140)
    assert (event.ttl, event.flags, event.server_time_ns, event.cas) == (3600, 0, None, None)


def test_a_sealed_profile_tells_what_it_holds() -> None:
    info = membench.open(DATA / "sealed").summary()
    assert (info.state, info.repaired, info.events, info.requests) == (
        "sealed",
        False,
        EVENTS,
        EVENTS,
    )
    assert (info.connections, info.commands, info.outcomes) == (4, COMMANDS, OUTCOMES)
    assert (info.stopped_by, info.duration_s, info.unsealed_events) == ("duration", 0.01, 0)


def test_an_unsealed_profile_tells_that_it_is_not_sealed() -> None:
    info = membench.open(DATA / "killed").summary()
    assert (info.state, info.unsealed_events, info.cut_bytes) == ("recording", EVENTS, 0)
    assert (info.connections, info.commands, info.outcomes) == (4, COMMANDS, OUTCOMES)
    assert (info.stopped_by, info.ledger, info.sampled_out) == (None, None, None)
    assert not info.being_recorded


def test_repair_seals_what_a_killed_recorder_left(copy: Callable[[str], Path]) -> None:
    path = copy("killed")
    before = [event.time_us for event in membench.open(path)]
    info = membench.repair(path)
    assert (info.state, info.repaired, info.events) == ("sealed", True, EVENTS)
    assert (info.ledger, info.sampled_out) == (None, None)
    assert [event.time_us for event in membench.open(path)] == before
    assert not list(path.glob("*.part"))


def test_repair_leaves_a_sealed_profile_as_it_is(copy: Callable[[str], Path]) -> None:
    path = copy("sealed")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    assert not membench.repair(path).repaired
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_cut_batch_is_left_out_and_reported(copy: Callable[[str], Path]) -> None:
    path = copy("killed")
    (part,) = path.glob("*.part")
    part.write_bytes(part.read_bytes()[:-1])
    profile = membench.open(path)
    assert list(profile) == []
    assert profile.summary().cut_bytes > 0


def test_an_open_profile_is_analyzed_as_it_was_opened_while_recording_goes_on(
    copy: Callable[[str], Path],
) -> None:
    path = copy("killed")
    opened = membench.open(path)
    replace_open_part(path, 1)
    assert len(membench.open(path)) == 0
    for profile, events in ((opened, EVENTS), (path, 0)):
        analysis = membench.analyze(profile, only=["requests"])
        assert analysis.requests is not None
        assert analysis.requests.events == events


def test_an_open_profile_outlives_its_replacement(copy: Callable[[str], Path]) -> None:
    path = copy("sealed")
    opened = membench.open(path)
    path.rename(path.with_name("before"))
    replace_open_part(copy("killed").rename(path), 1)
    assert (opened.summary().state, membench.open(path).summary().state) == ("sealed", "recording")
    assert membench.analyze(opened).profile.complete is not None
    assert membench.analyze(path).profile.complete is None
    assert (len(opened.connections()), len(list(opened))) == (4, EVENTS)


def replace_open_part(path: Path, less: int) -> None:
    """Put another file in the place of the open part, as if it had been written anew."""
    (part,) = path.glob("*.part")
    other = part.with_suffix(".new")
    other.write_bytes(part.read_bytes()[:-less])
    other.replace(part)


def newer(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))


def halve(path: Path) -> None:
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text[: len(text) // 2])


def lose(path: Path) -> None:
    (path / "manifest.json").unlink()


def empty(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (newer, ProfileError, "99"),
        (halve, ProfileError, "manifest"),
        (lose, ProfileError, "manifest"),
        (empty, UsageError, "manifest.json"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why(
    copy: Callable[[str], Path],
    damage: Callable[[Path], None],
    error: type[Exception],
    said: str,
) -> None:
    path = copy("sealed")
    damage(path)
    with pytest.raises(error, match=said):
        membench.open(path)


def test_a_file_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="folder"):
        membench.open(tmp_path / "file")


def test_pyarrow_reads_events_and_tables(either: Path) -> None:
    profile = membench.open(either)
    table = pa.table(profile)
    assert table.num_rows == EVENTS
    assert Counter(table["outcome"].to_pylist()) == OUTCOMES
    assert table["key"].to_pylist() == [event.key for event in profile]
    assert pa.schema(profile) == table.schema
    assert pa.table(profile.connections()).num_rows == len(profile.connections())


def test_polars_reads_events(either: Path) -> None:
    frame = polars.DataFrame(membench.open(either))
    assert frame.height == EVENTS
    assert frame["request_size"].sum() == 30 * 26 + 10 * 140


def test_duckdb_reads_events(either: Path) -> None:
    connection = duckdb.connect()
    connection.register("profile", pa.table(membench.open(either)))
    counted = connection.sql("SELECT command, count(*) FROM profile GROUP BY 1").fetchall()
    assert dict(counted) == COMMANDS


def test_any_parquet_reader_reads_a_sealed_part() -> None:
    path = str(DATA / "sealed" / "events-*.parquet")
    read = duckdb.sql(f"SELECT count(*), sum(request_size) FROM '{path}'")  # noqa: S608
    assert read.fetchall() == [(EVENTS, 30 * 26 + 10 * 140)]
