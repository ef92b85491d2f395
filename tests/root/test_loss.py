"""A small ring that is not drained: losses are counted, and what is kept is true."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pytest

from support.cli import Completed, Recorder, read_info, read_ledger, recorder
from support.oracle import KnownKeyIds
from support.profile import by_connection, events, table
from support.server import Memcached, memcached
from support.unique import UniqueTraffic, key_file, traffics
from support.waiting import until
from support.workload import in_threads

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

CONNECTIONS = 8
#: Time without a heartbeat of the recorder after which the programs only count, s.
SILENCE_S = 2.0


class Lossy(NamedTuple):
    """A recording whose recorder was stopped for a while."""

    profile: Path
    traffic: list[UniqueTraffic]
    recording: Completed
    wrong: list[str]


def every(traffic: list[UniqueTraffic], pipelines: int) -> None:
    """Send pipelines on every connection at once."""
    in_threads([lambda one=one: [one.pipeline() for _ in range(pipelines)] for one in traffic])


def held(running: Recorder, traffic: list[UniqueTraffic], seconds: float) -> None:
    """Send traffic while the recorder is stopped, for at least `seconds`."""
    running.freeze()
    end = time.monotonic() + seconds
    every(traffic, 40)
    while time.monotonic() < end:
        every(traffic, 1)
    running.thaw()


def resume(profile: Path, traffic: list[UniqueTraffic], keys: KnownKeyIds) -> None:
    """Send few requests until the recorder has drained its ring; then some on each connection."""

    def kept() -> bool:
        traffic[0].pipeline(depth=1)
        seen = {row["key"] for row in events(profile)}
        last = traffic[0].connection.log[-8:]
        return any(keys.id_of(operation.key or b"") in seen for operation in last)

    until(kept, "the recorder keeping up")
    for _ in range(2):  # the first read after a loss only shows where requests start
        for one in traffic:
            one.pipeline(depth=1)


@pytest.fixture(
    scope="module", params=[0.0, SILENCE_S + 0.5], ids=["full ring", "silent user space"]
)
def lossy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lossy:
    folder = tmp_path_factory.mktemp("lossy")
    path, keys = key_file(folder)
    options = ("--no-stats", "--ring-size", "4096", "--key-file", str(path))
    profile = folder / "lossy.mb"
    with memcached(memory=1024) as server, recorder(profile, [server.port], *options) as running:
        traffic = traffics(server.port, CONNECTIONS)
        every(traffic, 5)
        held(running, traffic, request.param)
        resume(profile, traffic, keys)
        recording = running.stop()
    recorded = by_connection(events(profile))
    wrong = [text for one in traffic for text in one.log(keys).places(one.events_in(recorded))[1]]
    return Lossy(profile, traffic, recording, wrong)


@pytest.mark.quick
def test_losses_are_in_the_ledger_and_the_recording_is_not_complete(lossy: Lossy) -> None:
    profile, traffic, recording, _ = lossy
    recording.expect(4)
    info = read_info(profile)
    assert info["ledger"]["complete"] is False
    assert info["ledger"]["ring_full"] + info["ledger"]["missed"] > 0, info["ledger"]
    assert info["events"] < sum(len(one.connection.log) for one in traffic)
    assert table(profile, "losses")


@pytest.mark.quick
def test_bytes_that_memcached_read_were_seen_or_missed(lossy: Lossy) -> None:
    profile, traffic, _, _ = lossy
    ledger = read_ledger(profile)
    sent = sum(one.connection.sent_bytes for one in traffic)
    assert (
        ledger["request_bytes"] + sum(one["request"]["missed"] for one in ledger["servers"]) == sent
    )


@pytest.mark.quick
def test_no_event_is_invented_or_shifted_by_a_loss(lossy: Lossy) -> None:
    assert lossy.wrong == []


@pytest.mark.quick
def test_after_a_loss_every_connection_is_recorded_again(lossy: Lossy) -> None:
    profile, traffic, _, _ = lossy
    recorded = by_connection(events(profile))
    for one in traffic:
        assert one.events_in(recorded)[-1]["key_size"] == len(one.connection.log[-1].key or b"")
        assert one.events_in(recorded)[-1]["outcome"] == one.connection.log[-1].outcome


def test_a_loss_below_the_allowed_share_is_no_failure(server: Memcached, output: Path) -> None:
    traffic = traffics(server.port, CONNECTIONS)
    with recorder(
        output, [server.port], "--no-stats", "--ring-size", "4096", "--allow-loss", "100"
    ) as running:
        held(running, traffic, 0.0)
        running.stop().expect(0)
    assert read_ledger(output)["complete"] is False
