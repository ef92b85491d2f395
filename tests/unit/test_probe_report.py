"""Intervals of a probe as text."""

import io
from dataclasses import replace

from rich.console import Console, RenderableType

from membench import Bucket, FoundHook, Histogram, HitGroup, HitStack, LostHits, ProbeInterval
from membench.report.probe import render_hooks, render_interval

HISTOGRAM = Histogram(
    value="latency",
    unit="ns",
    count=30,
    mean=1500.0,
    buckets=(Bucket(512, 1024, 10), Bucket(1024, 2048, 20), Bucket(2048, None, 0)),
)
INTERVAL = ProbeInterval(
    hook="tp_btf:sock_send_length",
    elapsed_s=5.0,
    interval_s=5.0,
    count=30,
    rate=6.0,
    misses=0,
    cost_ns=120.0,
    trap_ns=0.0,
    cpu_share=0.0004,
    lost=LostHits(0, 0, 0, 0),
    histogram=HISTOGRAM,
    groups=(),
    stacks=(),
    stacks_seen=0,
)


def lines(renderable: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_an_interval_says_hits_values_losses_and_cost() -> None:
    told = lines(render_interval(INTERVAL))
    assert told[0] == "tp_btf:sock_send_length   00:05   30 hits   6/s   lost 0"
    assert "latency   mean 1.50 µs" in told
    assert any(line.startswith(" 512 ns … 1.02 µs") for line in told)
    assert any(line.startswith("        ≥ 2.05 µs") for line in told)
    assert told[-1] == "cost   120 ns a run   0.040 % of one CPU"
    full, half = (next(line for line in told if f" {amount} " in line) for amount in (20, 10))
    assert full.count("█") == 2 * half.count("█")


def test_every_loss_is_told_with_its_cause() -> None:
    interval = replace(INTERVAL, misses=3, lost=LostHits(1, 2, 4, 5))
    title = lines(render_interval(interval))[0]
    for loss in (
        "3 missed",
        "1 without a beginning",
        "2 not in a group",
        "4 without their stack",
        "5 with no readable value",
    ):
        assert loss in " ".join(lines(render_interval(interval))), title


def test_a_trap_is_told_apart() -> None:
    told = lines(render_interval(replace(INTERVAL, cost_ns=2100.0, trap_ns=2000.0)))
    assert told[-1] == "cost   2.10 µs a run, of which the trap 2.00 µs   0.040 % of one CPU"
    assert lines(render_interval(replace(INTERVAL, cost_ns=None)))[-1] == "cost   none: no hit"


def test_groups_and_stacks_have_their_share() -> None:
    groups = (
        HitGroup(812, "memcached", 20, HISTOGRAM),
        HitGroup(7, None, 10, None),
    )
    stack = HitStack(15, 812, "mc\x1b[2J", ("inner_[k]", "outer"))
    told = lines(
        render_interval(replace(INTERVAL, groups=groups, stacks=(stack,), stacks_seen=1200))
    )
    assert any(line.startswith("memcached 812") and "66.7 %" in line for line in told)
    assert any(line.startswith("CPU 7") for line in told)
    assert "15 hits   50.0 %   mc?[2J 812" in told
    assert "    inner_[k]" in told
    assert "1 of 1,200 stacks" in told


def test_hooks_that_would_not_work_are_told_with_the_reason() -> None:
    found = [
        FoundHook("tp_btf:a", ("x", "y"), True, None),
        FoundHook("kprobe:a", (), False, "this kernel lacks CONFIG_KPROBE_EVENTS"),
        FoundHook("kprobe:b", (), False, "this kernel lacks CONFIG_KPROBE_EVENTS"),
    ]
    assert lines(render_hooks(found)) == [
        "tp_btf:a   x y",
        "",
        "would not work here: this kernel lacks CONFIG_KPROBE_EVENTS",
        "  kprobe:a",
        "  kprobe:b",
        "",
        "1 of 3 hooks would work here",
    ]
