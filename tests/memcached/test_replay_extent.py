"""Less or more than was recorded, at other paces, by one process or by several, as commands."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import membench
from membench import UsageError
from support.cli import membench as run
from support.server import Memcached, memcached

pytestmark = pytest.mark.memcached

SEALED = Path(__file__).parents[1] / "data" / "sealed"
PLANNED = 40
#: Timing may not hold on a busy machine.
DONE = {0, 4}


@pytest.mark.parametrize("pacing", ["closed", "closed=no-think", "max"])
def test_a_closed_loop_sends_everything_and_has_no_length_beforehand(pacing: str) -> None:
    with memcached() as server:
        told = run("replay", SEALED, server.address, "--pacing", pacing)
        counted = server.stats()
    assert told.code in DONE
    assert f"sent {PLANNED} of {PLANNED}" in told.stdout
    assert "as the target answers" in told.stderr or not told.stderr
    assert int(counted["cmd_get"]) + int(counted["cmd_set"]) == PLANNED


def test_options_of_extent_and_pace_reach_the_engine(server: Memcached) -> None:
    whole = membench.open(SEALED)
    seconds = whole.summary().duration_s
    options: tuple[str, ...] = ("--loop", "2", "--scale", "3", "--late", "send=1ns")
    told = run("replay", SEALED, server.address, *options, "--fresh-keys", "--format", "json").json
    assert told["planned"] == told["sent"] == PLANNED * 6
    assert told["late"] == told["sent"]
    assert told["late_after_ns"] == 1
    part = membench.replay(SEALED, server.address, until_s=seconds / 2, allow_nonempty=True)
    rest = membench.replay(SEALED, server.address, from_s=seconds / 2, allow_nonempty=True)
    assert part.planned + rest.planned == PLANNED
    assert part.planned > 0
    fast = membench.replay(SEALED, server.address, pacing="speed=100", allow_nonempty=True)
    assert fast.expiries is not None
    dropped = membench.replay(SEALED, server.address, late="drop=1ns", allow_nonempty=True)
    assert dropped.sent + dropped.unsent["late"] == PLANNED
    assert not dropped.held


def test_content_of_keys_and_values_is_what_was_asked_for(server: Memcached) -> None:
    options = ("--key-prefix", "replay:", "--value", "zero", "--fill", "lookaside")
    told = run("replay", SEALED, server.address, *options, "--wait", "sleep", "--format", "json")
    assert told.code in DONE
    result = told.json
    misses = result["outcomes"]["replayed_reads"]["misses"]
    assert result["fills"]["scheduled"] + result["fills"]["unknown"] == misses
    assert result["sent"] == result["planned"]
    assert result["generator"]["wait"] == "sleep"
    assert result["server"]["bytes_changed"]["key_prefix"] > 0
    keys = membench.replay(SEALED, server.address, key_prefix="replay:", allow_nonempty=True)
    # What the first replay stored is found by the second.
    assert keys.outcomes.replayed_reads.hits >= result["outcomes"]["replayed_reads"]["hits"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--late", "shift"), "unknown rule for late requests"),
        (("--from", "5s", "--until", "4s"), "is empty"),
        (("--from", "1h"), "none of 0 events can be sent"),
        (("--fresh-keys",), "fresh keys are those of later rounds"),
        (("--shared-keys",), "shared keys are those of copies"),
        (("--loop", "0"), "0 is not a number of rounds"),
        (("--scale", "70000"), "is not a number of copies"),
        (("--shard", "4/4"), "is no share of a replay"),
        (("--shard", "0/2"), "several processes replay together"),
        (("--start-at", "2026-01-01T00:00:00"), "not a time with its zone"),
        (("--start-at", "2026-01-01T00:00:00Z", "--allow-nonempty"), "the start was"),
        (("--value", "letters"), "unknown values"),
        (("--key-prefix", "a b"), "no key can begin with"),
        (("--wait", "poll"), "not one of the ways to wait"),
        (("--fill", "never"), "not one of the kinds of fills"),
        (("--map", "1=a:1"), "there is no other"),
        (("--server", "11212"), "no server is called `11212`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_replayed_is_told_before_anything_is_sent(
    server: Memcached, options: tuple[str, ...], said: str
) -> None:
    told = run("replay", SEALED, server.address, *options)
    assert told.code in {1, 2}
    assert said in " ".join(told.stderr.split())
    assert server.stats()["total_items"] == "0"


def test_a_target_has_to_be_named() -> None:
    assert "`--map`" in " ".join(run("replay", SEALED).expect(2).stderr.split())
    told = run("replay", SEALED, "--map", "11211").expect(2)
    assert "not a server and its target" in " ".join(told.stderr.split())


def test_processes_that_share_a_replay_are_merged_to_one(server: Memcached, tmp_path: Path) -> None:
    shards = 3
    files = [tmp_path / f"run.{index}" for index in range(shards)]
    asked = ("replay", SEALED, server.address, "--allow-nonempty", "--scale", "4")
    for index, file in enumerate(files):
        assert run(*asked, "--shard", f"{index}/{shards}", "--out", file).code in DONE
    with memcached() as alone:
        whole = membench.replay(SEALED, alone.address, scale=4)
    out = tmp_path / "run.json"
    ended = run("merge-runs", *files, "--out", out, "--check", "errors<=0", "--format", "json")
    assert ended.code in DONE
    merged: dict[str, Any] = ended.json
    assert json.loads(out.read_text()) == merged
    for name in ("planned", "sent", "answered", "suppressed", "errors", "skipped", "unsent"):
        assert merged[name] == getattr(whole, name), name
    by_command = merged["response_ns"]["by_command"]
    assert {name: one["count"] for name, one in by_command.items()} == {
        name: one.count for name, one in whole.response_ns.by_command.items()
    }
    assert merged["outcomes"]["recorded"] == whole.outcomes.recorded
    assert merged["generator"]["threads"] == shards
    runs = [membench.open_run(file) for file in files]
    assert merged["response_ns"]["max"] == max(one.response_ns.max for one in runs)
    # A merged result compares with any other.
    assert run("compare", out, out).code in DONE
    assert membench.merge_runs(files).sent == whole.sent


def test_runs_that_are_not_the_shards_of_one_replay_are_refused(server: Memcached) -> None:
    options: dict[str, Any] = {"allow_nonempty": True, "pacing": "speed=10"}
    one, two = (
        membench.replay(SEALED, server.address, shard=f"{index}/2", **options) for index in (0, 1)
    )
    alone = membench.replay(SEALED, server.address, **options)
    table: list[tuple[list[membench.ReplayResult], str]] = [
        ([alone, alone], "the only process"),
        ([one], "1/2 is missing"),
        ([one, one, two], "there twice"),
        ([one, replace(two, seed=7)], "differ in their seed"),
        ([one, replace(two, histograms={"lag": {"get": _broken()}})], "cannot be read"),
    ]
    for runs, said in table:
        with pytest.raises(UsageError, match=said):
            membench.merge_runs(runs)
    assert membench.merge_runs([two, one]).planned == PLANNED
    with pytest.raises(UsageError, match="known zone"):
        membench.replay(SEALED, server.address, start_at=datetime(2026, 1, 1))
    past = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(UsageError, match="the start was"):
        membench.replay(SEALED, server.address, start_at=past)


def _broken() -> membench.StoredHistograms:
    return membench.StoredHistograms(answered="nothing", unanswered=None)
