"""Analyses as text: golden files, rewritten with `--update-golden`."""

import io
from dataclasses import fields, replace
from pathlib import Path

import pytest
from rich.console import Console

from membench._analysis import Analysis, Overview
from membench._analysis.distributions import Bin, Quantiles, Series
from membench._analysis.items import (
    CommonTtl,
    Keys,
    Knee,
    Memory,
    Point,
    PopularKey,
    Sizes,
    TopShare,
    Ttl,
    WorkingSet,
    Zipf,
)
from membench._analysis.requests import (
    Burst,
    CommandShare,
    CommandTimes,
    Connections,
    HitRatio,
    Hits,
    Misses,
    OutcomeCount,
    Requests,
    Times,
)
from membench.report.analysis import render_analysis
from membench.report.analysis_detail import DETAILS, memory_size

GOLDEN = Path(__file__).parents[1] / "golden"
MEGABYTE = 1 << 20


def quantiles(p50: int, p99: int, *, count: int = 1_000_000) -> Quantiles:
    bins = (Bin(0, 0, count // 10), Bin(p50, 2 * p50 - 1, count - count // 10))
    return Quantiles(count, 0, p50 * 1.5, p50, p50 * 2, p50 * 3, p99, p99 * 2, p99 * 4, bins)


def series(*values: float | None) -> Series:
    return Series(0.8, tuple(values))


def curve(unknown: float) -> tuple[Point, ...]:
    ratios = (0.5, 0.65, 0.75, 0.812, 0.88, 0.917, 0.931)
    return tuple(
        Point(MEGABYTE << (index + 2), ratio, ratio + unknown, ratio - 0.05)
        for index, ratio in enumerate(ratios)
    )


ANALYSIS = Analysis(
    schema_version=1,
    profile=Overview("production.mb", 1_795_269_720_000_000_000, 60.0, True, {}),
    requests=Requests(
        count=10_102_331,
        events=11_046_720,
        mean_per_s=168_372.0,
        peak_per_s=221_004,
        peak_second=17,
        rate=series(*(150_000.0 + 1000 * (index % 30) for index in range(75))),
        bursts=(Burst(0.001, 1.4, 410), Burst(0.01, 3.1, 2_912), Burst(1.0, None, 221_004)),
        interarrival_cv=2.34,
    ),
    commands=(
        CommandShare(
            "get",
            8_395_037,
            8_395_037,
            0.831,
            1.0,
            (OutcomeCount("hit", 7_757_014), OutcomeCount("miss", 638_023)),
            0,
        ),
        CommandShare("mget", 85_853, 1_030_242, 0.0085, 12.0, (OutcomeCount("hit", 1_030_242),), 0),
        CommandShare("set", 727_367, 727_367, 0.072, 1.0, (OutcomeCount("stored", 727_360),), 7),
    ),
    hits=Hits(
        all=HitRatio("all", 9_425_279, 8_787_256, 0.924, 3),
        by_command=(HitRatio("get", 8_395_037, 7_757_014, 0.924, 3),),
        over_time=series(0.91, None, 0.93, 0.925),
    ),
    misses=Misses(638_023, 389_194, 172_266, 0, 0, 0, 76_563),
    keys=Keys(
        distinct=1_840_000,
        counted="reads",
        used=1_800_000,
        uses=9_425_279,
        mean_uses=5.24,
        used_once=0.31,
        used_times=(0.31, 0.2, 0.1),
        top=(TopShare(1, 0.011), TopShare(10, 0.041)),
        zipf=Zipf(0.95, 0.964, 0.98),
        hottest=(PopularKey("61606a41b3cfd405", 103_678, 0.011),),
    ),
    sizes=Sizes(
        quantiles(36, 71),
        quantiles(224, 4000),
        quantiles(230, 4100),
        None,
        2_911_640_772,
        167_000_000,
    ),
    ttl=Ttl(727_367, 0.1, 0.0, quantiles(3600, 86_400), 0.9, (CommonTtl(3600, 0.8),)),
    connections=Connections(
        count=329,
        known=340,
        open_at_start=312,
        open_at_end=320,
        clients=12,
        requests=quantiles(30_000, 90_000, count=329),
        active_ms=quantiles(59_000, 60_000, count=329),
        lifetime_ms=None,
        pipeline_depth=quantiles(1, 20),
        pipelined=0.12,
        multi_get_keys=quantiles(11, 100),
        busiest_connection=0.02,
        busiest_tenth=0.25,
        busiest_client=0.2,
    ),
    working_set=WorkingSet(
        1_840_000,
        700 << 20,
        1_500_000,
        600 << 20,
        640 << 20,
        series(1, 2, 3),
        series(1, 2, 3),
        series(1, 2, 2),
    ),
    memory=Memory(
        reads=9_425_279,
        unknown=0.0,
        certain_misses=0.06,
        known_to_bytes=300 * MEGABYTE,
        knee=Knee(110 * MEGABYTE, 0.91),
        nearly_best_bytes=200 * MEGABYTE,
        sizes=curve(0.0),
        miss_ratio_curve=curve(0.0),
        reuse_distance_keys=quantiles(900, 400_000),
    ),
    times=Times(
        server_ns=quantiles(800, 3100),
        server_ns_by_command=(CommandTimes("get", quantiles(800, 3100)),),
        queue_ns=quantiles(14_000, 310_000),
    ),
)


def text(analysis: Analysis) -> str:
    console = Console(
        file=io.StringIO(), width=100, color_system=None, highlight=False, markup=False, emoji=False
    )
    console.print(render_analysis("production.mb", analysis))
    assert isinstance(console.file, io.StringIO)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(lines) + "\n"


def only(part: str) -> Analysis:
    names = {field.name for field in fields(Analysis)} - {"schema_version", "profile", part}
    return replace(ANALYSIS, **dict.fromkeys(names))


def check(name: str, found: str, *, update: bool) -> None:
    golden = GOLDEN / name
    if update:
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


def test_an_analysis_is_a_line_a_topic(update_golden: bool) -> None:
    check("analysis.txt", text(ANALYSIS), update=update_golden)


def test_parts_asked_for_are_shown_in_detail(update_golden: bool) -> None:
    found = "\n".join(text(only(part)) for part in DETAILS)
    check("analysis-detail.txt", found, update=update_golden)


@pytest.mark.parametrize("part", DETAILS)
def test_no_line_is_wider_than_a_hundred_columns_or_cut(part: str) -> None:
    shown = text(only(part))
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_reads_that_began_before_the_recording_make_ranges() -> None:
    assert ANALYSIS.memory
    memory = replace(ANALYSIS.memory, unknown=0.05, sizes=curve(0.05))
    shown = text(replace(ANALYSIS, memory=memory))
    assert "256 MiB 93 % to 98 %" in shown
    assert "5.0 % of reads were last used before the recording" in shown


def test_losses_are_shown_at_the_top() -> None:
    profile = replace(ANALYSIS.profile, complete=False, losses={"ring_full": 31_204})
    first = text(replace(ANALYSIS, profile=profile)).splitlines()[:2]
    assert "incomplete" in first[0]
    assert "ring_full 31,204" in first[1]


def test_a_recording_without_responses_claims_no_hit_ratio() -> None:
    unseen = Hits(HitRatio("all", 0, 0, None, 12), (), series(None))
    shown = text(replace(ANALYSIS, hits=unseen))
    assert "hits            unknown: no response to a read was seen" in shown


def test_the_miss_ratio_curve_is_reachable_from_the_top() -> None:
    curve_found = ANALYSIS.miss_ratio_curve
    assert curve_found[0] == (4 * MEGABYTE, 0.5)
    assert only("keys").miss_ratio_curve == ()


@pytest.mark.parametrize(
    ("size", "written"),
    [
        (0, "0 B"),
        (96, "96 B"),
        (64 * MEGABYTE, "64 MiB"),
        (3 << 29, "1.5 GiB"),
        (1023 * MEGABYTE, "1023 MiB"),
    ],
)
def test_memory_is_written_as_the_option_m_counts(size: int, written: str) -> None:
    assert memory_size(size) == written
