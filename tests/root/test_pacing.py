"""Pacing of replays: everything is sent; exact times are tested with `--soak` only."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import membench, recorder
from support.profile import by_connection, events
from support.requests import read
from support.server import Memcached, memcached
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

CONNECTIONS = 10
RATE = 10_000
#: Stops of the server: their length, their period, and the duration of the test, s.
FREEZE_S, PERIOD_S, SECONDS = 0.1, 1.0, 10
#: Most replays to try: other work on the machine delays responses too.
ATTEMPTS = 5


def record_some(folder: Path, per_connection: int) -> Path:
    """Record gets, the same number on each connection."""
    with (
        memcached() as server,
        recorder(folder / "some.mb", [server.port], "--no-stats") as running,
    ):
        connections = [Connection(server.port, ordinal) for ordinal in range(CONNECTIONS)]
        for number in range(per_connection):
            for connection in connections:
                key = (b"paced-%d-" % number).ljust(40 + connection.ordinal, b"k")
                connection.perform(read("get", [key]))
        running.stop().expect(0)
    return folder / "some.mb"


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_some(tmp_path_factory.mktemp("some"), 200)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_some(tmp_path_factory.mktemp("many"), RATE * SECONDS // CONNECTIONS)


class Freezing:
    """Stops a server for a tenth of each second while its block runs."""

    def __init__(self, server: Memcached) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        started = time.monotonic()
        for second in range(1, 3600):
            if self._over.wait(max(0.0, started + second * PERIOD_S - FREEZE_S - time.monotonic())):
                return
            self._server.freeze()
            self._over.wait(FREEZE_S)
            self._server.thaw()

    def __enter__(self) -> Freezing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def replay(profile: Path, target: Memcached, *options: str) -> Any:  # noqa: ANN401 - any JSON
    ended = membench("replay", profile, target.address, "--format", "json", *options)
    assert ended.code in (0, 4), ended.stderr
    return ended.json


@pytest.fixture
def frozen_and_thawed(server: Memcached) -> Iterator[Memcached]:
    with Freezing(server):
        yield server


@pytest.mark.parametrize(
    "pacing",
    [
        *("recorded", "speed=3", "rate=20000/s", "poisson=20000/s", "ramp=5000..20000/0.1s"),
        *("closed", "closed=no-think", "max"),
    ],
    ids=lambda pacing: pacing.split("/")[0],
)
def test_every_pacing_sends_everything(some: Path, server: Memcached, pacing: str) -> None:
    report = replay(some, server, "--pacing", pacing)
    assert (report["planned"], report["sent"], report["answered"]) == (2000, 2000, 2000)


def test_a_server_that_stops_now_and_then_still_gets_everything(
    some: Path, frozen_and_thawed: Memcached
) -> None:
    report = replay(some, frozen_and_thawed, "--pacing", f"rate={RATE // 5}/s")
    assert (report["planned"], report["sent"], report["answered"]) == (2000, 2000, 2000)


@pytest.mark.parametrize(
    "pacing",
    [
        "sometimes",
        "speed=0",
        "speed=-1",
        "rate=",
        "rate=fast",
        "poisson=-1/s",
        "ramp=1..2",
        "max=2",
    ],
)
def test_an_invalid_pacing_is_refused(some: Path, server: Memcached, pacing: str) -> None:
    ended = membench("replay", some, server.address, "--pacing", pacing)
    assert (ended.code, server.stats()["cmd_get"]) == (2, "0"), ended.stderr


@pytest.mark.soak
@pytest.mark.parametrize(
    "pacing",
    [f"rate={RATE}/s", f"poisson={RATE}/s", f"ramp={RATE // 2}..{RATE * 3 // 2}/{SECONDS}s"],
)
def test_a_frozen_server_shows_in_the_response_times_as_arithmetic_says(
    many: Path, frozen_and_thawed: Memcached, pacing: str
) -> None:
    # A request that arrives t before the thaw waits t, and a tenth of the time is frozen.
    expected = [pytest.approx(share * FREEZE_S * 1e9, rel=0.1) for share in (0.5, 0.9)]
    for _ in range(ATTEMPTS):
        report = replay(many, frozen_and_thawed, "--pacing", pacing)
        assert report["sent"] == report["answered"] == RATE * SECONDS
        found = [report["response_ns"][name] for name in ("p95", "p99")]
        if found == expected:
            return
    assert found == expected


@pytest.mark.soak
def test_a_constant_rate_arrives_at_a_constant_rate(
    many: Path, tmp_path: Path, server: Memcached
) -> None:
    with recorder(tmp_path / "again.mb", [server.port], "--no-stats") as running:
        report = replay(many, server, "--pacing", f"rate={RATE}/s")
        running.stop().expect(0)
    wanted_us = 1e6 / RATE
    times = sorted(row["time"] for row in events(tmp_path / "again.mb") if row["command"] == "get")
    gaps = [(after - before).total_seconds() * 1e6 for before, after in itertools.pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(wanted_us, rel=0.01)
    off = sorted(abs(gap - wanted_us) for gap in gaps)
    assert off[int(len(off) * 0.5)] <= wanted_us / 4 + report["lag_ns"]["p99"] / 1000


@pytest.mark.soak
def test_recorded_gaps_between_requests_are_kept_within_the_lag(
    some: Path, tmp_path: Path, server: Memcached
) -> None:
    with recorder(tmp_path / "again.mb", [server.port], "--no-stats") as running:
        report = replay(some, server)
        running.stop().expect(0)
    first, second = (gaps(profile) for profile in (some, tmp_path / "again.mb"))
    off = sorted(abs(a - b) for a, b in zip(first, second, strict=True))
    assert off[int(len(off) * 0.5)] * 1000 <= report["lag_ns"]["p99"] + 50_000


def gaps(profile: Path) -> list[float]:
    """Return the gaps between the requests of each connection, µs, in the order of key sizes."""
    gets = [row for row in events(profile) if row["command"] == "get"]
    connections = sorted(by_connection(gets).values(), key=lambda rows: rows[0]["key_size"])
    times = [[row["time"].timestamp() * 1e6 for row in rows] for rows in connections]
    return [after - before for one in times for before, after in itertools.pairwise(one)]
