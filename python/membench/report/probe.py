"""Intervals of a probe, and hooks that were found → text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._probe import Bucket, FoundHook, Histogram, HitGroup, HitStack, ProbeInterval
from membench.report.numbers import clock, count, duration, numbered, percent, rate

_BAR = 40
_GROUPS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NOTHING = "–"  # noqa: RUF001 - a dash


def render_interval(interval: ProbeInterval) -> RenderableType:
    """Lay out an interval: hits, histogram, groups, stacks, losses and cost."""
    parts: list[RenderableType] = [_title(interval)]
    if interval.histogram is not None and not interval.groups:
        parts += [Text(), _histogram(interval.histogram)]
    if interval.groups:
        parts += [Text(), _groups(interval)]
        parts += _histograms(interval.groups)
    for stack in interval.stacks:
        parts += [Text(), _stack(stack, interval.count)]
    if interval.stacks_seen > len(interval.stacks):
        parts.append(Text(f"{len(interval.stacks)} of {count(interval.stacks_seen)} stacks"))
    parts += [Text(), _cost(interval)]
    return Group(*parts)


def render_hooks(found: Sequence[FoundHook]) -> RenderableType:
    """Lay out hooks that were found: those that would work, then the others with the reason."""
    working = [hook for hook in found if hook.works]
    parts: list[RenderableType] = [Text(_described(hook)) for hook in working]
    reasons: dict[str, list[FoundHook]] = {}
    for hook in found:
        if not hook.works:
            reasons.setdefault(hook.reason or "unknown", []).append(hook)
    for reason, hooks in reasons.items():
        parts += [Text(), Text(f"would not work here: {reason}")]
        parts += [Text(f"  {_described(hook)}") for hook in hooks]
    works = f"{len(working):,} of {numbered(len(found), 'hook')} would work here"
    parts += [Text(), Text(works)]
    return Group(*parts)


def _described(hook: FoundHook) -> str:
    return f"{hook.hook}   {' '.join(hook.operands)}" if hook.operands else hook.hook


def _title(interval: ProbeInterval) -> Text:
    return Text(
        f"{interval.hook}   {clock(interval.elapsed_s)}   {count(interval.count)} hits"
        f"   {rate(interval.rate)}   {_lost(interval)}"
    )


def _lost(interval: ProbeInterval) -> str:
    lost = interval.lost
    amounts = {
        "missed": interval.misses,
        "without a beginning": lost.unpaired,
        "not in a group": lost.ungrouped,
        "without their stack": lost.unstacked,
        "with no readable value": lost.unreadable,
    }
    told = [f"{count(amount)} {what}" for what, amount in amounts.items() if amount]
    return "lost: " + ", ".join(told) if told else "lost 0"


def _cost(interval: ProbeInterval) -> Text:
    if interval.cost_ns is None:
        return Text("cost   none: no hit")
    trap = f", of which the trap {duration(interval.trap_ns)}" if interval.trap_ns else ""
    return Text(
        f"cost   {duration(interval.cost_ns)} a run{trap}   "
        f"{percent(interval.cpu_share)} of one CPU"
    )


def _histogram(histogram: Histogram) -> RenderableType:
    write = _writer(histogram)
    mean = _NOTHING if histogram.mean is None else write(histogram.mean)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    most = max((bucket.count for bucket in histogram.buckets), default=1)
    for bucket in histogram.buckets:
        table.add_row(_bounds(bucket, write), count(bucket.count), _bar(bucket.count, most))
    return Group(Text(f"{histogram.value}   mean {mean}"), table)


def _histograms(groups: Sequence[HitGroup]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for group in groups[:_GROUPS]:
        if group.histogram is not None:
            parts += [Text(), Text(_who(group)), _histogram(group.histogram)]
    return parts


def _groups(interval: ProbeInterval) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    table.add_column("by", no_wrap=True, overflow="ellipsis")
    for heading in ("hits", "rate", "share", "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group in interval.groups[:_GROUPS]:
        histogram = group.histogram
        mean = histogram.mean if histogram is not None else None
        table.add_row(
            _who(group),
            count(group.count),
            rate(group.count / interval.interval_s if interval.interval_s else 0),
            percent(group.count / interval.count if interval.count else 0),
            _NOTHING if histogram is None or mean is None else _writer(histogram)(mean),
        )
    if len(interval.groups) > _GROUPS:
        table.add_row(f"and {len(interval.groups) - _GROUPS:,} more", "", "", "", "")
    return table


def _who(group: HitGroup) -> str:
    parts = ("CPU" if group.name is None else _plain(group.name), group.id)
    return " ".join(str(part) for part in parts if part is not None)


def _stack(stack: HitStack, hits: int) -> RenderableType:
    name = _plain(stack.name) if stack.name is not None else "pid"
    share = percent(stack.count / hits if hits else 0)
    lines = [f"{count(stack.count)} hits   {share}   {name} {stack.process}"]
    lines += [f"    {_plain(frame)}" for frame in stack.frames]
    return Text("\n".join(lines))


def _writer(histogram: Histogram) -> Callable[[float], str]:
    return duration if histogram.unit == "ns" else _number


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _bounds(bucket: Bucket, write: Callable[[float], str]) -> str:
    if bucket.low is None:
        return f"< {write(bucket.high or 0)}"
    if bucket.high is None:
        return f"≥ {write(bucket.low)}"
    if bucket.high - bucket.low == 1:
        return write(bucket.low)
    return f"{write(bucket.low)} … {write(bucket.high)}"


def _bar(amount: int, most: int) -> str:
    eighths = round(amount / most * _BAR * 8) if most else 0
    if amount and not eighths:
        eighths = 1
    full, rest = divmod(eighths, 8)
    return _EIGHTHS[8] * full + (_EIGHTHS[rest] if rest else "")


def _plain(name: str) -> str:
    """Write a name so that nothing in it can steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
