"""A recording with `--observe`: its intervals are tables of the profile, on the same clock."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest

import membench
from membench._observe.results import PARTS
from membench.errors import UsageError
from support.answers import answer
from support.cli import COMMAND, environment, membench as cli
from support.process import started
from support.server import Memcached, connect, memcached
from support.waiting import until

pytestmark = [pytest.mark.root]

GETS = 500
CLIENTS = membench.Selection(side="client")
GROUP = membench.Selection(cgroups=["/sys/fs/cgroup"])
DOCUMENT = Path(__file__).parents[2] / "docs" / "profile-format.md"
SECTION = re.search(r"^## Observation\n(.*?)^## ", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
BLOCKS: list[tuple[str, str]] = re.findall(
    r"```(\w+)\n(.*?)```", SECTION[1] if SECTION else "", re.DOTALL
)
#: Names in the first cells of the section's tables.
COLUMNS = re.compile(r"^\| (`.*?`) \|", re.MULTILINE)


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


def ask(server: Memcached, requests: int = GETS) -> None:
    """Send gets one after the other on a connection of their own."""
    with connect(server.port) as client:
        for _ in range(requests):
            answer(client, b"get x\r\n")


def recorded(server: Memcached, path: Path, observe: str, **options: object) -> membench.Recording:
    """Record gets for more than two intervals."""
    with membench.record(
        "ebpf:any", path, ports=[server.port], observe=observe, **options
    ) as capture:
        begun = time.monotonic()
        while time.monotonic() - begun < 2.2:
            ask(server)
    return capture.result


def test_the_account_of_a_recording_has_its_requests_on_its_clock(
    server: Memcached, tmp_path: Path
) -> None:
    path = tmp_path / "observed.mb"
    begun_us = time.time_ns() // 1000
    recording = recorded(server, path, "requests")
    ended_us = time.time_ns() // 1000
    observed = recording.observed
    assert observed is not None
    assert (observed.failure, observed.lost) == (None, 0)
    profile = membench.open(path)
    intervals = list(profile.observed())
    assert len(intervals) == observed.intervals >= 3
    # Each interval has one question of the observer's own; those before the recording attached and
    # after it detached are in the account only.
    counted = sum(one.account.requests for one in intervals if one.account) + observed.left_out
    assert recording.requests <= counted <= recording.requests + len(intervals) + GETS
    for one in intervals:
        assert one.account is not None
        assert sum(one.account.parts_ns.values()) == one.account.whole_ns
        assert all(sum(slow.parts_ns.values()) == slow.whole_ns for slow in one.slow)
    assert intervals[-1].elapsed_s <= recording.duration_s + 1
    times = polars.DataFrame(profile.observation("observe-intervals"))["time"].dt.epoch("us")
    assert begun_us <= times[0]
    assert times[-1] <= ended_us
    assert times.is_sorted()
    # Each interval begins where the one before ends.
    lengths = polars.DataFrame(profile.observation("observe-intervals"))["length"] // 1000
    assert all(abs(one) < 1000 for one in (times + lengths)[:-1] - times[1:])


def test_the_observer_s_own_questions_are_no_events(server: Memcached, tmp_path: Path) -> None:
    path = tmp_path / "own.mb"
    recording = recorded(server, path, "counters")
    assert recording.ledger.complete
    assert set(recording.commands) == {"get"}
    growth = polars.DataFrame(membench.open(path).observation("observe-counters"))
    gets = growth.filter(counter="cmd_get")["growth"].sum()
    # The counters begin and end with the recording, to one burst of the client's.
    assert abs(gets - recording.commands["get"]) <= 2 * GETS
    assert gets > 0
    threads = polars.DataFrame(membench.open(path).observation("observe-threads"))
    assert threads["cpu"].sum() > 0
    assert len(membench.open(path).observation("observe-parts")) == 0


def test_servers_that_are_not_to_be_asked_are_not_asked(server: Memcached, tmp_path: Path) -> None:
    path = tmp_path / "silent.mb"
    before = int(server.stats()["total_connections"])
    with membench.record(
        "ebpf:any", path, ports=[server.port], observe="counters", statistics=False
    ):
        pass
    assert int(server.stats()["total_connections"]) == before + 1
    assert len(membench.open(path).observation("observe-counters")) == 0
    assert len(membench.open(path).observation("observe-threads")) > 0


def test_the_documented_readings_run_and_name_every_column(
    server: Memcached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "production.mb"
    recorded(server, path, "requests")
    monkeypatch.chdir(tmp_path)
    assert {language for language, _ in BLOCKS} == {"sql", "python"}
    for language, code in BLOCKS:
        if language == "sql":
            assert duckdb.sql(code).fetchall()
        else:
            exec(compile(code, str(DOCUMENT), "exec"), {})  # noqa: S102 - the document's own code
    assert SECTION is not None
    told = set(re.findall(r"\w+", " ".join(COLUMNS.findall(SECTION[1])))) | set(PARTS)
    for file in path.glob("observe-*.parquet"):
        rows = polars.read_parquet(file)
        assert set(rows.columns) <= told, file.name
        assert duckdb.read_parquet(str(file)).shape == rows.shape


def test_the_files_are_sealed_with_checksums_and_verified(
    server: Memcached, tmp_path: Path
) -> None:
    path = tmp_path / "sealed.mb"
    recorded(server, path, "requests")
    manifest = json.loads((path / "manifest.json").read_text())
    listed = {table["name"]: table for table in manifest["tables"]}
    files = {file.name for file in path.glob("observe-*")}
    assert files <= listed.keys()
    assert {"observe-intervals.parquet", "observe-parts.parquet"} <= files
    cli("info", "--verify", path).expect()
    file = path / "observe-parts.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    cli("info", "--verify", path).expect(1)
    (damaged,) = membench.open(path).verify().damaged
    assert "observe-parts.parquet" in damaged


def test_a_killed_recording_keeps_what_was_observed_and_repair_seals_it(
    server: Memcached, tmp_path: Path
) -> None:
    path = tmp_path / "killed.mb"
    command = [*COMMAND, "record", "ebpf:any", str(path), "--port", str(server.port)]
    with started(
        [*command, "--observe=requests"], stderr=subprocess.PIPE, env=environment()
    ) as process:
        stream = path / "observe-intervals.arrows.part"

        def has_two() -> bool:
            ask(server, 20)
            return stream.exists() and len(list(membench.open(path).observed())) >= 2

        until(has_two, "two intervals in the profile")
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = list(membench.open(path).observed())
    assert len(before) >= 2
    membench.repair(path)
    assert not list(path.glob("*.part"))
    assert list(membench.open(path).observed()) == before
    assert membench.open(path).verify().passed


def test_each_interval_of_a_rotated_recording_is_in_one_profile(
    server: Memcached, tmp_path: Path
) -> None:
    recording = recorded(
        server, tmp_path / "part.mb", "requests", rotation=membench.Rotation(every_s=1.5)
    )
    assert len(recording.profiles) >= 2
    intervals = [one for path in recording.profiles for one in membench.open(path).observed()]
    assert recording.observed is not None
    assert len(intervals) == recording.observed.intervals
    assert recording.observed.requests == sum(
        one.account.requests for one in intervals if one.account
    )
    assert all(membench.open(path).verify().passed for path in recording.profiles)


def test_without_observe_a_profile_has_no_such_tables(server: Memcached, tmp_path: Path) -> None:
    path = tmp_path / "plain.mb"
    with membench.record("ebpf:any", path, ports=[server.port]) as capture:
        ask(server)
    assert capture.result.observed is None
    assert not list(path.glob("observe-*"))
    assert list(membench.open(path).observed()) == []
    assert pyarrow.table(membench.open(path).observation("observe-parts")).num_rows == 0


def test_the_host_is_in_the_manifest(server: Memcached, tmp_path: Path) -> None:
    path = tmp_path / "host.mb"
    with membench.record("ebpf:any", path, ports=[server.port]):
        ask(server, 1)
    host = membench.open(path).manifest()["host"]
    assert isinstance(host, dict)
    (facts,) = host["servers"]
    assert facts["port"] == server.port
    # Tests may run at another policy than the usual one.
    policy = {os.SCHED_OTHER: "other", os.SCHED_BATCH: "batch", os.SCHED_IDLE: "idle"}
    (scheduling,) = facts["scheduling"]
    assert scheduling.startswith(policy[os.sched_getscheduler(server.pid)])
    assert host["kernel"]


def test_the_command_tells_what_was_observed_and_its_cost(
    server: Memcached, tmp_path: Path
) -> None:
    command = ("record", "ebpf:any", tmp_path / "a.mb", "--port", str(server.port))
    done = cli(*command, "--observe", "-d", "2s").expect()
    told = next(line for line in done.stdout.splitlines() if "observed" in line)
    assert "interval" in told


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("{file}", {"observe": "requests"}, "shows no server of this machine"),
        ("ebpf:any", {"observe": "everything"}, "kinds of observation"),
        ("ebpf:any", {"observe": "counters", "output": None}, "nothing is written"),
        ("ebpf:any", {"observe": "requests", "selection": CLIENTS}, "a recording of clients"),
        ("ebpf:any", {"observe": "counters", "selection": GROUP}, "choose among requests"),
    ],
)
def test_what_cannot_be_observed_is_a_usage_error(
    tmp_path: Path, source: str, options: dict[str, object], message: str
) -> None:
    file = tmp_path / "a.pcap"
    file.write_bytes(b"\xd4\xc3\xb2\xa1" + bytes(20))
    arguments = {"output": tmp_path / "a.mb"} | options
    with pytest.raises(UsageError, match=message):
        membench.record(source.format(file=file), **arguments)
    assert not (tmp_path / "a.mb").exists()
