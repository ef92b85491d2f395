"""Analysis → Rich renderables: one line per topic, or the chosen parts in detail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._analysis import Analysis, Overview
from membench._analysis.distributions import Quantiles
from membench._analysis.items import Keys, Memory, Point, Sizes, Ttl, WorkingSet
from membench._analysis.requests import CommandShare, Connections, Hits, Misses, Requests, Times
from membench.report.analysis_detail import DETAILS, memory_size
from membench.report.items import Items
from membench.report.numbers import count, duration, numbered, percent, rate, size, sparkline

_LABEL = 15
_SPARK = 20
_COMMANDS_SHOWN = 5
_SIZES_SHOWN = 4
_RANGES_SHOWN = 3
# Shares below this are not mentioned.
_NEGLIGIBLE = 0.005


def render_analysis(name: str, analysis: Analysis) -> RenderableType:
    """Render an analysis, at most 100 columns wide."""
    parts = [part for part in DETAILS if getattr(analysis, part) is not None]
    whole = len(parts) + len(analysis.profile.not_told) == len(DETAILS)
    body = _overview(analysis) if whole else _details(analysis, parts)
    profile = analysis.profile
    return Group(_title(name, profile), *_losses(profile), *_sample(profile), Text(), *body)


def _title(name: str, profile: Overview) -> Text:
    title = Text(name, style="bold")
    title.append(f"   {profile.duration_s:.1f} s   ", style="default")
    title.append({True: "complete", False: "incomplete", None: "not sealed"}[profile.complete])
    if profile.started_utc_ns:
        started = datetime.fromtimestamp(profile.started_utc_ns / 1e9, UTC)
        title.append(f"   recorded {started:%Y-%m-%d %H:%M} UTC", style="default")
    return title


def _losses(profile: Overview) -> Iterator[Text]:
    if profile.losses:
        terms = "   ".join(f"{name} {amount:,}" for name, amount in profile.losses.items())
        yield Text(f"lost   {terms}   (`membench info` explains)")


def _sample(profile: Overview) -> Iterator[Text]:
    if profile.sample.is_all:
        return
    scaled = "; memory is scaled to all keys" if profile.sample.keys > 1 else ""
    yield Text(f"sample   {profile.sample}: counts and rates are of the sample{scaled}")
    if profile.not_told:
        yield Text(f"         it cannot tell: {', '.join(profile.not_told)}")


def _details(analysis: Analysis, parts: list[str]) -> Iterator[RenderableType]:
    for index, part in enumerate(parts):
        if index:
            yield Text()
        yield Text(part.replace("_", " "), style="bold")
        yield from DETAILS[part](getattr(analysis, part))


def _overview(analysis: Analysis) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_LABEL, no_wrap=True)
    grid.add_column()
    for part, (label, lines) in _LINES.items():
        if part in analysis.profile.not_told:
            continue
        for index, line in enumerate(lines(getattr(analysis, part))):
            grid.add_row(label if index == 0 else "", Items(line))
    yield grid
    yield Text()
    yield Text("look at   `--only keys,ttl` for detail     `--format json` for every number")


def _requests(requests: Requests) -> Iterator[str]:
    if requests.mean_per_s is None or not requests.count:
        yield "none in this recording"
        return
    rates = [value or 0.0 for value in requests.rate.values]
    burst = next((it for it in requests.bursts if it.window_s == 0.01 and it.index), None)  # noqa: PLR2004
    words = [
        f"{rate(requests.mean_per_s)} mean, {rate(requests.peak_per_s)} peak second",
        sparkline(_thinned(rates)),
    ]
    if burst and burst.index is not None:
        words.append(f"burst ×{_times_over(burst.index)} at 10 ms")  # noqa: RUF001
    yield "   ".join(words)


def _times_over(index: float) -> str:
    return f"{index:.1f}" if index < 100 else f"{index:,.0f}"  # noqa: PLR2004


def _commands(commands: tuple[CommandShare, ...]) -> Iterator[str]:
    words = []
    for command in commands[:_COMMANDS_SHOWN]:
        keys = f" (mean {command.keys_per_request:.3g} keys)" if _has_many_keys(command) else ""
        words.append(f"{command.command} {percent(command.share)}{keys}")
    rest = sum(command.requests for command in commands[_COMMANDS_SHOWN:])
    if rest:
        words.append(f"other {count(rest)}")
    yield "   ".join(words) or "none"


def _has_many_keys(command: CommandShare) -> bool:
    return command.events > command.requests


def _hits(hits: Hits) -> Iterator[str]:
    if hits.all.ratio is None:
        yield "unknown: no response to a read was seen"
        return
    line = f"{percent(hits.all.ratio)} of {count(hits.all.reads)} reads"
    if hits.all.unseen:
        line += f"   (the responses to {count(hits.all.unseen)} more were not seen)"
    yield line


def _misses(misses: Misses) -> Iterator[str]:
    if not misses.count:
        yield "none seen"
        return
    causes = {
        "first seen": misses.first_seen,
        "expired": misses.expired,
        "deleted": misses.deleted,
        "flushed": misses.flushed,
        "never stored": misses.never_stored,
        "other": misses.other,
    }
    ranked = sorted(causes.items(), key=lambda cause: -cause[1])
    shares = [f"{percent(number / misses.count)} {name}" for name, number in ranked if number]
    yield ", ".join(shares)


def _keys(keys: Keys) -> Iterator[str]:
    words = [f"{count(keys.distinct)} distinct"]
    if keys.used_once is not None:
        words[0] += f", {percent(keys.used_once)} asked once"
    if keys.zipf:
        fitted = f"{keys.zipf.alpha_likelihood:.2f}"
        line = f"all ranks {keys.zipf.alpha_least_squares:.2f}"
        words.append(f"Zipf α {fitted} ({line})")  # noqa: RUF001
    top = next((it for it in keys.top if it.keys == 10), None)  # noqa: PLR2004
    if top:
        words.append(f"top 10: {percent(top.share)}")
    yield "   ".join(words)


def _sizes(sizes: Sizes) -> Iterator[str]:
    values = sizes.value_read or sizes.value_written
    parts = [("key", sizes.key), ("value", values)]
    words = [f"{name} {_size_range(it)}" for name, it in parts if it]
    yield "   ".join(words) or "none seen"


def _size_range(sizes: Quantiles) -> str:
    return f"{size(sizes.p50)} median (p99 {size(sizes.p99)})"


def _ttl(ttl: Ttl) -> Iterator[str]:
    if not ttl.count:
        yield "none sent"
        return
    words = [f"{percent(ttl.never or 0)} never expire"]
    if ttl.seconds:
        span = f"{_seconds(ttl.seconds.p50)} median, {_seconds(ttl.seconds.max)} longest"
        words.append(f"others {span}")
    if ttl.beyond_recording:
        words.append(f"{percent(ttl.beyond_recording)} beyond this recording")
    yield "   ".join(words)


def _seconds(seconds: int) -> str:
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds} s"


def _connections(connections: Connections) -> Iterator[str]:
    words = [f"{count(connections.count)} in use"]
    if connections.clients:
        words[0] += f" from {numbered(connections.clients, 'client')}"
    if connections.busiest_tenth is not None:
        words.append(f"busiest tenth {percent(connections.busiest_tenth)}")
    if connections.pipeline_depth and connections.pipelined is not None:
        depth = connections.pipeline_depth
        words.append(f"{percent(connections.pipelined)} pipelined, up to {depth.max}")
    yield "   ".join(words)


def _working_set(found: WorkingSet) -> Iterator[str]:
    yield (
        f"{count(found.keys)} keys, {memory_size(found.bytes)} as items   "
        f"alive at most {memory_size(found.peak_live_bytes)}   "
        f"{sparkline(_thinned([value or 0.0 for value in found.bytes_over_time.values]))}"
    )


def _memory(memory: Memory) -> Iterator[str]:
    if not memory.sizes or not memory.knee:
        yield "unknown: no key was read twice"
        return
    yield "hit ratio for -m:   " + "   ".join(_for_size(it) for it in _interesting(memory.sizes))
    known = f"larger than {memory_size(memory.known_to_bytes)} is unknown"
    ratios = [point.hit_ratio for point in memory.miss_ratio_curve]
    yield f"{sparkline(_thinned(ratios))}  knee near {memory_size(memory.knee.bytes)}   ({known})"
    if memory.unknown and memory.unknown > _NEGLIGIBLE:
        yield f"ranges: {percent(memory.unknown)} of reads were last used before the recording"


def _interesting(sizes: tuple[Point, ...]) -> list[Point]:
    """Return the largest sizes that differ, and the first of those beyond that do not."""
    useful = [point for point in sizes if point.hit_ratio < sizes[-1].hit_ratio - 1e-4]
    shown = [*useful, sizes[len(useful)]]
    return shown[-_RANGES_SHOWN if any(map(_is_range, shown)) else -_SIZES_SHOWN :]


def _is_range(point: Point) -> bool:
    return point.hit_ratio_most - point.hit_ratio > _NEGLIGIBLE


def _for_size(point: Point) -> str:
    ratio = percent(point.hit_ratio)
    if _is_range(point):
        ratio = f"{point.hit_ratio:.0%} to {point.hit_ratio_most:.0%}".replace("%", " %")
    return f"{memory_size(point.bytes)} {ratio}"


def _times(times: Times) -> Iterator[str]:
    words = [
        f"{it.command} {_time_range(it.server_ns)}" for it in times.server_ns_by_command[:2]
    ] or ["not recorded"]
    if times.queue_ns:
        words.append(f"queue time {_time_range(times.queue_ns)}")
    yield "   ".join(words)


def _time_range(times: Quantiles) -> str:
    return f"{duration(times.p50)} p50, {duration(times.p99)} p99"


def _thinned(values: list[float]) -> list[float]:
    """Reduce values to the width of a sparkline, by means of neighbours."""
    if len(values) <= _SPARK:
        return values
    edges = [len(values) * index // _SPARK for index in range(_SPARK + 1)]
    return [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]


_Lines = Callable[..., Iterator[str]]
_LINES: dict[str, tuple[str, _Lines]] = {
    "requests": ("requests", _requests),
    "commands": ("commands", _commands),
    "hits": ("hits", _hits),
    "misses": ("misses", _misses),
    "keys": ("keys", _keys),
    "sizes": ("sizes", _sizes),
    "ttl": ("ttl", _ttl),
    "connections": ("connections", _connections),
    "working_set": ("working set", _working_set),
    "memory": ("memory", _memory),
    "times": ("server time", _times),
}
