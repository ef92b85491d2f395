"""Progress, results and checks of a replay → text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._replay import (
    Check,
    Durations,
    Outcomes,
    Progress,
    ReplayResult,
    ServerCounters,
)
from membench.report.numbers import count, duration, percent, size

_QUANTILES = ("p50", "p90", "p99", "p999", "max")


def describe_progress(progress: Progress) -> str:
    """Describe progress for the bar: time, rate, response time, lag, errors."""
    return (
        f"{progress.elapsed_s:.1f} s  {count(progress.rate)}/s"
        f"  p99 {duration(progress.response_p99_ns)}  lag p99 {duration(progress.lag_p99_ns)}"
        f"  errors {progress.errors:,}"
    )


def _sample(result: ReplayResult) -> Iterator[Text]:
    if not result.sample.is_all:
        yield Text(f"a sample was replayed, {result.sample}: a fraction of the recorded load")


def render_replay(result: ReplayResult) -> RenderableType:
    """Sum up a replay: requests sent, timing, outcomes, response times, checks."""
    return Group(
        *_target(result),
        _sent(result),
        *_sample(result),
        _timing(result),
        *_counts("not replayed", result.skipped),
        *_counts("not sent", result.unsent),
        *_counts("not answered", result.unanswered),
        *_counts("outcomes that differ", _flatten(result.outcomes.differences)),
        Text(),
        _times_table(result.response_ns),
        _composition(result),
        *_checks(result.checks),
    )


def _target(result: ReplayResult) -> list[Text]:
    version = f"memcached {result.target.version}" if result.target.version else "memcached"
    lines = [f"target   {version} at {result.target.name}"]
    if result.warm is not None:
        refused = f"; {result.warm.refused:,} refused" if result.warm.refused else ""
        lines.append(f"warm     {result.warm.keys:,} keys, {size(result.warm.bytes)}{refused}")
    if result.server is not None:
        agree = "agrees" if result.server.bytes_agree else "DIFFERS"
        lines.append(
            f"bytes    {result.server.bytes_written_by_replay:,} written, "
            f"{agree}: the target read {result.server.bytes_read:,}"
        )
        lines.extend(_bytes_apart(result.server))
    return [Text(line) for line in lines]


def _bytes_apart(server: ServerCounters) -> list[str]:
    """List the differences between the bytes written and the recorded ones."""
    apart = [
        f"{cause} -{bytes_:,}" for cause, bytes_ in server.bytes_not_replayed.items() if bytes_
    ]
    apart += [f"{cause} {bytes_:+,}" for cause, bytes_ in server.bytes_changed.items() if bytes_]
    return [f"         from the recording: {', '.join(apart)}"] if apart else []


def _sent(result: ReplayResult) -> Text:
    answered = "all" if result.answered == result.sent else f"{result.answered:,}"
    return Text(
        f"sent {result.sent:,} of {result.planned:,}   answered {answered}"
        f"   errors {result.errors:,}{_compare_hit_ratios(result.outcomes)}"
    )


def _compare_hit_ratios(outcomes: Outcomes) -> str:
    replayed, recorded = outcomes.replayed_reads.hit_ratio, outcomes.recorded_reads.hit_ratio
    if replayed is None:
        return ""
    beside = f" (recorded {percent(recorded)})" if recorded is not None else ""
    return f"   hit ratio {percent(replayed)}{beside}"


def _timing(result: ReplayResult) -> Text:
    lag = result.lag_ns
    verdict = "timing held" if result.timing_held else "timing NOT held"
    return Text(
        f"{verdict}: lag p50 {duration(lag.p50)}, p99 {duration(lag.p99)}, max {duration(lag.max)}"
        f"   generator {duration(result.generator.cpu_ns_per_request)} CPU a request"
    )


def _counts(label: str, counts: Mapping[str, int]) -> list[Text]:
    listed = ", ".join(f"{name} {amount:,}" for name, amount in counts.items() if amount)
    return [Text(f"{label}: {listed}")] if listed else []


def _flatten(differences: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {
        f"{command} {change}": amount
        for command, changes in differences.items()
        for change, amount in changes.items()
    }


def _times_table(times: Durations) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("response time", no_wrap=True)
    for quantile in _QUANTILES:
        table.add_column(quantile, justify="right", no_wrap=True)
    table.add_column("requests", justify="right", no_wrap=True)
    for command, of_command in times.by_command.items():
        cells = [duration(getattr(of_command, quantile)) for quantile in _QUANTILES]
        table.add_row(command, *cells, f"{of_command.count:,}")
    return table


def _composition(result: ReplayResult) -> Text:
    if not result.wire_ns.count:
        return Text("  of which send to answer " + duration(result.service_ns.p50) + " p50")
    return Text(
        f"  of which the network and server {duration(result.wire_ns.p50)} p50, "
        f"this client's wake-up {duration(result.client_ns.p50)} p50"
    )


def _checks(checks: Sequence[Check]) -> Iterator[RenderableType]:
    if checks:
        yield Text()
        yield _checks_table(checks)


def _checks_table(checks: Sequence[Check]) -> Table:
    table = Table.grid(padding=(0, 3))
    for check in checks:
        shown = "not measured" if check.value is None else _measured(check, check.value)
        table.add_row("check", Text(check.text), shown, "pass" if check.passed else "FAIL")
    return table


def _measured(check: Check, value: float) -> str:
    ratio = check.text.lstrip().startswith(("errors", "hit_ratio"))
    return percent(value) if ratio else duration(value)
