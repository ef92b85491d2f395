"""Samples: all operations on some keys or connections, and analyses that claim no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import membench, read_info, recorder
from support.oracle import KnownKeyIds, compare_connection
from support.profile import by_connection, events
from support.server import Memcached
from support.unique import key_file, traffics

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

IDS = 1 << 64


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, KnownKeyIds]:
    """Write a key file; return its path and the ids it gives."""
    return key_file(tmp_path)


def test_a_sample_of_keys_holds_every_operation_on_them(
    server: Memcached, output: Path, keys: tuple[Path, KnownKeyIds]
) -> None:
    path, ids = keys
    traffic = traffics(server.port, 8)
    with recorder(output, [server.port], "--sample", "1/4", "--key-file", str(path)) as running:
        for one in traffic:
            for _ in range(10):
                one.pipeline()
        recording = running.stop().expect(0).json
    done = [operation for one in traffic for operation in one.connection.log]
    held = [one for one in done if ids.id_of(one.key or b"") < IDS // 4]
    assert 0.2 < len(held) / len(done) < 0.3
    recorded = by_connection(events(output))
    places = [one.log(ids).places(one.events_in(recorded)) for one in traffic]
    assert sum(len(found) for found, _ in places) == len(held)
    assert [text for _, wrong in places for text in wrong] == []
    assert recording["sampled_out"] == len(done) - len(held)
    assert recording["ledger"]["complete"] is True
    assert recording["differences"]
    assert all(one["server"] == one["recorded"] for one in recording["differences"])


def test_a_sample_of_connections_holds_all_of_them_and_compares_no_counters(
    server: Memcached, output: Path, keys: tuple[Path, KnownKeyIds]
) -> None:
    path, ids = keys
    traffic = traffics(server.port, 64)
    with recorder(
        output, [server.port], "--sample-connections", "1/4", "--key-file", str(path)
    ) as running:
        for one in traffic:
            one.pipeline()
        recording = running.stop().expect(0).json
    recorded = by_connection(events(output))
    held = [one for one in traffic if one.events_in(recorded)]
    assert 4 <= len(held) == len(recorded) <= 40
    for one in held:
        assert compare_connection(one.connection.log, one.events_in(recorded), ids) == []
    ledger = recording["ledger"]
    sent = sum(one.connection.sent_bytes for one in held)
    assert ledger["request_bytes"] - ledger["own_request_bytes"] == sent
    assert recording["differences"] == []


@pytest.mark.parametrize(
    ("option", "lacking"),
    [
        ("--sample", ["connections"]),
        ("--sample-connections", ["misses", "keys", "working_set", "memory"]),
    ],
)
def test_analyses_that_a_sample_cannot_support_are_refused(
    server: Memcached, output: Path, option: str, lacking: list[str]
) -> None:
    traffic = traffics(server.port, 16)
    with recorder(output, [server.port], "--no-stats", option, "1/2") as running:
        for one in traffic:
            one.pipeline()
        running.stop().expect(0)
    info = read_info(output)
    assert info["sampling"] == pytest.approx(0.5)
    assert "1 in 2" in membench("info", output).expect(0).stdout
    told = membench("analyze", output, "--format", "json").expect(0).json
    assert told["profile"]["not_told"] == lacking
    assert [name for name in lacking if told[name] is not None] == []
    assert "it cannot tell" in membench("analyze", output).expect(0).stdout
    for name in lacking:
        assert "1 in 2" in membench("analyze", output, "--only", name).expect(2).stderr
    assert "a fraction" in membench("replay", output, server.address).expect(2).stderr
    options = ("--allow-sampled", "--allow-nonempty")
    check = membench("replay", output, server.address, *options, "--check", "get.p99<1s")
    assert "a check would judge another load" in check.expect(2).stderr
    replayed = membench("replay", output, server.address, *options)
    assert "a sample was replayed, 1 in 2" in replayed.stdout, replayed.stderr
