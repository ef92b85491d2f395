"""Counters of the machine at two looks → what came between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from membench._observe.host import HostCounters, parse_reclaims, parse_throttled

OLD, NEW, GONE = (Path(f"/sys/fs/cgroup/{name}/cpu.stat") for name in ("old", "new", "gone"))


def counters(throttled: Mapping[Path, tuple[int, int]], time_s: float = 0.0) -> HostCounters:
    return HostCounters(
        steal=0,
        all_times=0,
        throttled=throttled,
        pressure_us={"cpu": 0},
        tcp={"OutRsts": 5},
        reclaims=7,
        time_s=time_s,
    )


def test_throttling_is_that_of_the_groups_known_at_both_looks() -> None:
    before = counters({OLD: (100, 1), GONE: (70_000, 7)})
    host = before.until(counters({OLD: (350, 3), NEW: (90_000, 9)}, time_s=1.0))
    assert (host.throttled_ns, host.periods_throttled) == (250, 2)


@pytest.mark.parametrize("later", [{}, {NEW: (90_000, 9)}])
def test_throttling_is_unknown_without_a_group_known_at_both_looks(
    later: dict[Path, tuple[int, int]],
) -> None:
    host = counters({OLD: (100, 1)}).until(counters(later, time_s=1.0))
    assert host.throttled_ns is None
    assert host.periods_throttled == 0


def test_a_figure_that_no_counter_can_have_is_none() -> None:
    assert parse_throttled(f"nr_throttled {'9' * 5000}\nthrottled_usec 20\n") == (20_000, 0)
    assert parse_throttled(f"nr_throttled 4\nthrottled_usec {'9' * 5000}\n") is None


def test_counters_that_began_anew_have_not_grown() -> None:
    later = replace(counters({}, 1.0), tcp={"OutRsts": 3, "RetransSegs": 9}, reclaims=9)
    host = counters({}).until(later)
    # One that the first look did not have is not told.
    assert host.tcp == {"OutRsts": 0}
    assert host.reclaims == 2
    assert counters({}).until(replace(later, reclaims=None)).reclaims is None


def test_reclaims_are_those_of_all_zones() -> None:
    text = "pgfault 9\nallocstall_dma 0\nallocstall_normal 839\nallocstall_movable 25276\n"
    assert parse_reclaims(text) == 26115
    assert parse_reclaims("pgfault 9\n") is None
