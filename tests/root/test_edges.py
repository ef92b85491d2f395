"""Recordings that start and end during traffic: cut requests are boundary, nothing shifts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.cli import read_info, recorder
from support.oracle import KnownKeyIds
from support.profile import Row, by_connection, events
from support.server import memcached
from support.unique import Background, UniqueTraffic, key_file, traffics
from support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

CONNECTIONS = 32
LARGEST = 1_000_000
DATA_LOST = 4
#: Most recordings to try. On a busy machine the edges may miss the traffic, and a recorder that
#: gets no CPU for two seconds loses bytes, which it counts as unattended.
ATTEMPTS = 5
#: Least number of pipelines of every connection while it is recorded.
PIPELINES = 6


class Busy:
    """A recording that starts and ends in the middle of traffic."""

    def __init__(self, profile: Path, traffic: list[UniqueTraffic], keys: KnownKeyIds) -> None:
        self.traffic = traffic
        self.keys = keys
        self.recorded = by_connection(events(profile))
        self.info: dict[str, Any] = read_info(profile)
        self.ledger: dict[str, Any] = self.info["ledger"]

    def places(self, one: UniqueTraffic) -> tuple[list[int], list[str], list[Row]]:
        rows = one.events_in(self.recorded)
        places, wrong = one.log(self.keys).places(rows)
        return places, wrong, rows


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Busy:
    folder = tmp_path_factory.mktemp("busy")
    for attempt in range(ATTEMPTS):
        busy = record_busy(folder, f"busy-{attempt}.mb")
        if busy.ledger["boundary"] and not busy.ledger["unattended"]:
            break
    return busy


def test_every_event_lies_within_the_recordings_time(busy: Busy) -> None:
    begun = busy.info["anchor"]["utc_ns"] / 1e9
    times = [row["time"].timestamp() for rows in busy.recorded.values() for row in rows]
    assert begun <= min(times) + 1e-6
    assert max(times) <= begun + busy.info["duration_s"] + 1e-6


def record_busy(folder: Path, name: str) -> Busy:
    """Start and end a recording while every connection is busy."""
    path, keys = key_file(folder)
    options = ("--no-stats", "--key-file", str(path))
    with memcached(threads=4, memory=1024) as server:
        traffic = traffics(server.port, CONNECTIONS, largest=LARGEST)
        with Background(traffic):
            until(lambda: all(one.done > 0 for one in traffic), "every connection being busy")
            with recorder(folder / name, [server.port], *options) as running:
                begun = [one.done for one in traffic]
                until(
                    lambda: all(
                        one.done > start + PIPELINES
                        for one, start in zip(traffic, begun, strict=True)
                    ),
                    "traffic",
                )
                ended = running.stop()
    assert ended.code in (0, DATA_LOST), ended
    return Busy(folder / name, traffic, keys)


def test_no_outcome_is_shifted(busy: Busy) -> None:
    assert [text for one in busy.traffic for text in busy.places(one)[1]] == []


def test_between_the_edges_no_operation_is_missing(busy: Busy) -> None:
    for one in busy.traffic:
        places, _, _ = busy.places(one)
        assert len(places) > PIPELINES
        assert places == list(range(places[0], places[-1] + 1)), one.connection.ordinal


def test_only_the_last_batch_of_a_connection_may_lack_outcomes(busy: Busy) -> None:
    for one in busy.traffic:
        rows = busy.places(one)[2]
        unseen = {row["batch"] for row in rows if row["outcome"] is None}
        assert unseen <= {rows[-1]["batch"]}


def test_bytes_cut_by_the_edges_are_boundary_and_the_recording_is_complete(busy: Busy) -> None:
    assert busy.ledger["complete"] is True, busy.ledger
    assert busy.ledger["boundary"] > 0
