"""One part of an analysis → Rich tables with all of its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from membench._analysis.distributions import Quantiles, Series
from membench._analysis.items import Keys, Memory, Sizes, Ttl, WorkingSet
from membench._analysis.requests import CommandShare, Connections, Hits, Misses, Requests, Times
from membench.report.numbers import count, duration, percent, rate, size, sparkline

_NONE = "-"
_BAR = 30
_CURVE_ROWS = 16
_QUANTILES = ("p50", "p90", "p95", "p99", "p999", "max")


def _table(rows: Iterable[Iterable[str]], *heads: str) -> RenderableType:
    """Lay out rows in columns without rules; all but the first align right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=bool(heads))
    cells = [list(row) for row in rows]
    for index in range(max((len(row) for row in cells), default=len(heads))):
        head = heads[index] if index < len(heads) else ""
        table.add_column(head, justify="right" if index else "left", no_wrap=True)
    for row in cells:
        table.add_row(*map(Text, row))
    return Padding(table, (0, 0, 0, 2))


def memory_size(value: float) -> str:
    """Write bytes of memory as `-m` counts them, `64 MiB`."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if value >= 1024**power:
            amount = value / 1024**power
            return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"  # noqa: PLR2004
    return f"{value:.0f} B"


def _ratio(share: float | None) -> str:
    return _NONE if share is None else percent(share)


def _distributions(
    named: Iterable[tuple[str, Quantiles | None]], unit: Callable[[float], str]
) -> RenderableType:
    rows = [
        [name, count(found.count), unit(found.mean)]
        + [unit(getattr(found, quantile)) for quantile in _QUANTILES]
        for name, found in named
        if found
    ]
    return _table(rows, "", "count", "mean", *_QUANTILES)


def _histogram(found: Quantiles, unit: Callable[[float], str]) -> RenderableType:
    most = max(it.count for it in found.log2)
    rows = (
        [f"≤ {unit(it.high)}", percent(it.count / found.count), _bar(it.count / most)]
        for it in found.log2
    )
    return _left(_table(rows))


def _left(table: RenderableType) -> RenderableType:
    if isinstance(table, Padding) and isinstance(table.renderable, Table):
        table.renderable.columns[-1].justify = "left"
    return table


def _bar(share: float) -> str:
    return "█" * round(share * _BAR) or "▏"


def _over_time(series: Series, unit: Callable[[float], str]) -> Text:
    values = [value or 0.0 for value in series.values]
    step = -(-len(values) // 60)
    means = [
        sum(part) / len(part)
        for part in (values[i : i + step] for i in range(0, len(values), step))
    ]
    width = f"each bar {duration(series.bucket_s * max(step, 1) * 1e9)}"
    most = unit(max(values, default=0.0))
    return Text(f"  {sparkline(means)}  {width}, most {most}")


def _requests(found: Requests) -> Iterator[RenderableType]:
    yield _over_time(found.rate, rate)
    yield _table(
        [
            ["requests", count(found.count)],
            ["operations on one key", count(found.events)],
            ["mean", rate(found.mean_per_s or 0)],
            [f"peak (second {found.peak_second})", rate(found.peak_per_s)],
            ["gaps: deviation over mean", _number(found.interarrival_cv)],
        ]
    )
    bursts = (
        [duration(it.window_s * 1e9), _number(it.index), count(it.peak)] for it in found.bursts
    )
    yield _table(bursts, "window", "variance/mean (1: independent)", "most requests")


def _number(value: float | None) -> str:
    if value is None:
        return _NONE
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004


def _commands(found: tuple[CommandShare, ...]) -> Iterator[RenderableType]:
    rows = (
        [
            it.command,
            count(it.requests),
            percent(it.share),
            f"{it.keys_per_request:.3g}",
            _ended(it),
        ]
        for it in found
    )
    yield _left(_table(rows, "command", "requests", "share", "keys", "outcomes"))


def _ended(command: CommandShare) -> str:
    known = [f"{it.outcome} {count(it.count)}" for it in command.outcomes]
    unseen = [f"not seen {count(command.unseen)}"] if command.unseen else []
    return ", ".join(known + unseen)


def _hits(found: Hits) -> Iterator[RenderableType]:
    rows = (
        [it.command, count(it.reads), count(it.hits), _ratio(it.ratio), count(it.unseen)]
        for it in (*found.by_command, found.all)
    )
    yield _table(rows, "command", "reads", "hits", "hit ratio", "response not seen")
    yield _over_time(found.over_time, percent)


def _misses(found: Misses) -> Iterator[RenderableType]:
    causes = [field.name for field in fields(found) if field.name != "count"]
    rows = [[it.replace("_", " "), getattr(found, it)] for it in causes]
    shares = ([name, count(number), percent(number / max(found.count, 1))] for name, number in rows)
    yield _table(shares, "cause", "misses", "share")
    yield Text(
        "  other: stored and not expired, so evicted or lost; "
        "first seen: may have been stored before"
    )


def _keys(found: Keys) -> Iterator[RenderableType]:
    zipf = found.zipf
    yield _table(
        [
            ["distinct keys", count(found.distinct)],
            [f"keys in {found.counted}", count(found.used)],
            ["mean uses of a key", _number(found.mean_uses)],
            ["Zipf exponent, likelihood", _number(zipf.alpha_likelihood if zipf else None)],
            [
                "Zipf exponent, line through all ranks",
                _number(zipf.alpha_least_squares if zipf else None),
            ],
            ["   R² of that line", _number(zipf.r2 if zipf else None)],
        ]
    )
    uses = ([f"used {times} times", percent(it)] for times, it in enumerate(found.used_times, 1))
    yield _table(uses, "share of keys", "")
    yield _table(([f"top {it.keys:,}", percent(it.share)] for it in found.top), "share of uses", "")
    hottest = ([it.key, count(it.uses), percent(it.share)] for it in found.hottest)
    yield _table(hottest, "hottest key ids", "uses", "share")


def _sizes(found: Sizes) -> Iterator[RenderableType]:
    named = [
        ("key", found.key),
        ("value read", found.value_read),
        ("value written", found.value_written),
        ("value, each key once", found.value_by_key),
    ]
    yield _distributions(named, size)
    values = found.value_read or found.value_written
    if values:
        yield _histogram(values, size)
    yield Text(f"  values read {size(found.read_bytes)}, written {size(found.written_bytes)}")


def _ttl(found: Ttl) -> Iterator[RenderableType]:
    yield _table(
        [
            ["expiries sent", count(found.count)],
            ["never (0)", _ratio(found.never)],
            ["at once (negative)", _ratio(found.at_once)],
            ["others that outlast this recording", _ratio(found.beyond_recording)],
        ]
    )
    if found.seconds:
        yield _distributions([("ttl", found.seconds)], lambda seconds: f"{seconds:,.0f} s")
        yield _table(
            ([f"{it.seconds:,} s", percent(it.share)] for it in found.common), "most sent", ""
        )


def _connections(found: Connections) -> Iterator[RenderableType]:
    facts = [
        ("in use", found.count),
        ("known", found.known),
        ("open at the start", found.open_at_start),
        ("open at the end", found.open_at_end),
        ("client addresses", found.clients),
    ]
    shares = [
        ("requests pipelined", found.pipelined),
        ("requests of the busiest connection", found.busiest_connection),
        ("requests of the busiest tenth", found.busiest_tenth),
        ("requests of the busiest client", found.busiest_client),
    ]
    rows = [[name, count(number)] for name, number in facts if number is not None]
    yield _table(rows + [[name, _ratio(share)] for name, share in shares])
    per = [
        ("requests per connection", found.requests),
        ("requests per read of the server", found.pipeline_depth),
        ("keys of a multi-get", found.multi_get_keys),
    ]
    yield _distributions(per, lambda value: f"{value:,.3g}" if value < 1000 else count(value))  # noqa: PLR2004
    times = [("active", found.active_ms), ("open to close", found.lifetime_ms)]
    if any(it for _, it in times):
        yield _distributions(times, lambda milliseconds: duration(milliseconds * 1e6))


def _working_set(found: WorkingSet) -> Iterator[RenderableType]:
    yield _table(
        [
            ["distinct keys", count(found.keys)],
            ["memory of all their items", memory_size(found.bytes)],
            [
                "alive at the end",
                f"{count(found.live_keys)} items, {memory_size(found.live_bytes)}",
            ],
            ["alive at most", memory_size(found.peak_live_bytes)],
        ]
    )
    yield Text("  distinct keys, and memory of live items, over time")
    yield _over_time(found.keys_over_time, count)
    yield _over_time(found.live_bytes_over_time, memory_size)
    yield Text("  items stored before the recording count from their first use in it")


def _memory(found: Memory) -> Iterator[RenderableType]:
    yield _table(
        [
            ["reads", count(found.reads)],
            ["last used before the recording", _ratio(found.unknown)],
            ["miss at any size", _ratio(found.certain_misses)],
            ["knee", memory_size(found.knee.bytes) if found.knee else _NONE],
            ["within 1 % of the best", memory_size(found.nearly_best_bytes or 0)],
            ["known up to", memory_size(found.known_to_bytes)],
        ]
    )
    curve = found.miss_ratio_curve
    step = max(1, -(-len(curve) // _CURVE_ROWS))
    rows = (
        [
            memory_size(it.bytes),
            percent(it.hit_ratio),
            percent(it.hit_ratio_most),
            _bar(it.hit_ratio),
        ]
        for it in curve[::-1][::step][::-1]
    )
    yield _left(_table(rows, "memory", "hit ratio at least", "at most", ""))
    if found.reuse_distance_keys:
        yield _distributions([("keys between two uses", found.reuse_distance_keys)], count)
    yield Text(
        "  exact for one LRU list; items include a 56 B header, terminators and slab class rounding"
    )


def _times(found: Times) -> Iterator[RenderableType]:
    named: list[tuple[str, Quantiles | None]] = [
        (it.command, it.server_ns) for it in found.server_ns_by_command
    ]
    named += [("all", found.server_ns), ("queue time", found.queue_ns)]
    if any(it for _, it in named):
        yield _distributions(named, duration)
    else:
        yield Text("  not recorded: server time needs responses")


Detail = Callable[..., Iterator[RenderableType]]
DETAILS: dict[str, Detail] = {
    "requests": _requests,
    "commands": _commands,
    "hits": _hits,
    "misses": _misses,
    "keys": _keys,
    "sizes": _sizes,
    "ttl": _ttl,
    "connections": _connections,
    "working_set": _working_set,
    "memory": _memory,
    "times": _times,
}
