"""`kill -9` at any moment: the profile opens and lacks at most a second of responses."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from support.cli import membench, read_info, recorder
from support.kernel_objects import kernel_objects_of, wait_until_gone
from support.oracle import KnownKeyIds
from support.profile import Row, by_connection, events
from support.server import Memcached
from support.unique import Background, UniqueTraffic, key_file, traffics
from support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.memcached]

ALLOWED_S = 1.0
#: Moments of the kill, s after the traffic started.
MOMENTS = [
    round(moment, 2)
    for moment in random.Random(9).sample([0.2 + step / 100 for step in range(240)], k=4)
]


def missing(
    one: UniqueTraffic, recorded: dict[int, list[Row]], keys: KnownKeyIds, killed: float
) -> list[str]:
    """Describe operations answered a second before the kill that a connection's events lack."""
    places, wrong = one.log(keys).places(one.events_in(recorded))
    due = [
        place
        for place, did in enumerate(one.connection.log)
        if did.answered and did.answered < killed - ALLOWED_S
    ]
    if places != list(range(len(places))):
        wrong.append("the events are not a beginning of the log")
    return [*wrong, f"{len(due)} due, {len(places)} kept"] if len(places) < len(due) else wrong


@pytest.mark.parametrize("after", MOMENTS)
def test_a_killed_recording_opens_and_lacks_at_most_a_second(
    server: Memcached, tmp_path: Path, after: float
) -> None:
    path, keys = key_file(tmp_path)
    profile = tmp_path / "killed.mb"
    traffic = traffics(server.port, 4)
    with (
        recorder(profile, [server.port], "--key-file", str(path), "--no-stats") as running,
        Background(traffic, pause=0.01),
    ):
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > after, "the moment of the kill")
        killed = time.monotonic()
        running.kill()
    recorded = by_connection(events(profile))
    assert [text for one in traffic for text in missing(one, recorded, keys, killed)] == []


@pytest.mark.kernel
@pytest.mark.quick
def test_a_killed_recorder_leaves_nothing_in_the_kernel(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port], "--no-stats") as running:
        held = kernel_objects_of(running.pid)
        assert {one.kind for one in held} == {"prog_id", "map_id", "link_id"}
        running.kill()
    wait_until_gone(held, "a killed process")


def test_a_killed_recording_says_that_it_was_not_sealed_until_it_is_repaired(
    server: Memcached, output: Path
) -> None:
    (one,) = traffics(server.port, 1)
    with recorder(output, [server.port], "--no-stats") as running:
        one.pipeline()
        until(lambda: len(events(output)) == len(one.connection.log), "the events being on disk")
        running.kill()
    unsealed = read_info(output)
    assert (unsealed["state"], unsealed["ledger"], unsealed["events"]) == (
        "recording",
        None,
        len(one.connection.log),
    )
    told = " ".join(membench("info", output).expect(0).stdout.split())
    assert "NOT sealed" in told
    assert "membench repair" in told
    membench("repair", output).expect(0)
    sealed = read_info(output)
    assert (sealed["state"], sealed["events"], sealed["commands"]) == (
        "sealed",
        unsealed["events"],
        unsealed["commands"],
    )
    assert not list(output.glob("*.part"))
    assert len(events(output)) == len(one.connection.log)
