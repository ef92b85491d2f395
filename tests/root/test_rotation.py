"""Rotation: each profile opens, and together they hold everything once."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import membench, read_info, recorder
from support.oracle import compare_connection
from support.profile import Row, by_connection, events, table
from support.server import Memcached
from support.unique import Background, key_file, traffics
from support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.memcached]

CONNECTIONS = 4


def flows(ledger: Row) -> list[Row]:
    return [server[way] for server in ledger["servers"] for way in ("request", "response")]


def test_a_rotated_recording_passes_over_what_others_have_left(
    server: Memcached, tmp_path: Path
) -> None:
    older = [tmp_path / f"x-00000{number}.mb" for number in (2, 9)]
    for path in older:
        path.mkdir()
        (path / "precious").write_text("kept")
    with recorder(tmp_path / "x.mb", [server.port], "--rotate", "300ms") as running:
        third = tmp_path / "x-000003.mb"
        with Background(traffics(server.port, 1), pause=0.005):
            until(third.exists, "the second profile")
        recording = running.stop().expect(0).json
    assert str(older[0]) not in recording["profiles"]
    assert recording["profiles"][:2] == [str(tmp_path / "x-000001.mb"), str(third)]
    assert set(recording["others"]) >= {str(older[0])}
    assert all((path / "precious").read_text() == "kept" for path in older)


def test_profiles_of_an_earlier_rotated_recording_are_told(
    server: Memcached, tmp_path: Path
) -> None:
    path = tmp_path / "x.mb"
    with recorder(path, [server.port], "--rotate", "200ms") as running:
        fourth = tmp_path / "x-000004.mb"
        until(fourth.exists, "the fourth profile")
        before = running.stop().expect(0).json["profiles"]
    with recorder(path, [server.port], "--rotate", "1h", "--force") as running:
        recording = running.stop().expect(0).json
    assert recording["profiles"] == before[:1]
    assert recording["others"] == before[1:]


@pytest.mark.parametrize("rotate", ["700ms", "96K"])
def test_the_profiles_of_a_rotated_recording_hold_everything_once(
    server: Memcached, tmp_path: Path, rotate: str
) -> None:
    path, keys = key_file(tmp_path)
    traffic = traffics(server.port, CONNECTIONS)
    options = ("--rotate", rotate, "--key-file", str(path))
    with recorder(tmp_path / "whole.mb", [server.port], *options) as running:
        third = tmp_path / "whole-000003.mb"
        with Background(traffic, pause=0.005):
            until(third.exists, "the third profile")
        recording = running.stop().expect(0).json
    profiles = [Path(name) for name in recording["profiles"]]
    assert profiles[0].name == "whole-000001.mb"
    assert len(profiles) >= 3
    assert sorted(tmp_path.glob("whole*.mb")) == profiles
    infos = [read_info(one) for one in profiles]
    assert {(one["state"], one["ledger"]["complete"]) for one in infos} == {("sealed", True)}
    assert [one["stopped_by"] for one in infos] == ["rotate"] * (len(infos) - 1) + ["SIGINT"]
    recorded = by_connection([row for one in profiles for row in events(one)])
    for one in traffic:
        assert compare_connection(one.connection.log, one.events_in(recorded), keys) == []
    for term in ("request_bytes", "response_bytes", "boundary", "own_request_bytes"):
        assert sum(one["ledger"][term] for one in infos) == recording["ledger"][term], term
    for flow in (flow for one in infos for flow in flows(one["ledger"])):
        assert flow["seen"] == sum(flow[term] for term in set(flow) - {"seen", "missed"})
    starts = [one["anchor"]["utc_ns"] for one in infos]
    assert starts == sorted(set(starts))
    rows = table(profiles[-1], "connections")
    assert {row["connection"] for row in rows} >= {
        row["connection"] for row in events(profiles[-1])
    }
    for one in profiles:
        membench("analyze", one).expect(0)


def test_a_place_where_no_profile_can_be_added_is_refused(
    server: Memcached, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    caller = {"SUDO_UID": "65534", "SUDO_GID": "65534"}
    prefix = ["env", *(f"{name}={value}" for name, value in caller.items())]
    ended = membench(
        *("record", "ebpf:any", tmp_path / "own.mb", "--port", str(server.port)),
        *("--rotate", "1s", "--duration", "3"),
        prefix=prefix,
    ).expect(5)
    assert str(tmp_path) in ended.stderr
    assert "Permission denied" in ended.stderr
