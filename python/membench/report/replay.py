"""Replay progress, results and verdicts → text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._replay import Outcomes, Progress, ReplayResult, Times
from membench.checks import Verdict
from membench.report.numbers import count, duration, percent

_QUANTILES = ("p50", "p90", "p99", "p999", "max")


def describe_progress(progress: Progress) -> str:
    """Write what goes beside the bar: rate, response time, lag, errors."""
    return (
        f"{progress.elapsed_s:.1f} s  {count(progress.sent_per_s)}/s"
        f"  p99 {duration(progress.response_p99_ns)}  lag p99 {duration(progress.lag_p99_ns)}"
        f"  errors {progress.errors:,}"
    )


def render_replay(result: ReplayResult) -> RenderableType:
    """Sum up a replay: what was sent, whether the timing held, and how long answers took."""
    return Group(
        _sent(result),
        _timing(result),
        *_counts("not sent", result.skipped),
        *_counts("outcomes that differ", _flatten(result.outcomes.differences)),
        Text(),
        _times_table(result.response_ns),
        _composition(result),
    )


def render_verdicts(verdicts: Sequence[Verdict]) -> Table:
    """List each check with what was measured."""
    table = Table.grid(padding=(0, 3))
    for verdict in verdicts:
        shown = "not measured" if verdict.measured is None else _measured(verdict)
        table.add_row(
            "check", Text(verdict.check.text), shown, "pass" if verdict.passed else "FAIL"
        )
    return table


def hit_ratio(counts: Mapping[str, Mapping[str, int]]) -> float | None:
    """Hits of hits and misses, over all commands; None when there are neither."""
    hits = sum(outcomes.get("hit", 0) for outcomes in counts.values())
    misses = sum(outcomes.get("miss", 0) for outcomes in counts.values())
    return hits / (hits + misses) if hits + misses else None


def _sent(result: ReplayResult) -> Text:
    answered = "all" if result.answered == result.sent else f"{result.answered:,}"
    return Text(
        f"sent {result.sent:,} of {result.planned:,}   answered {answered}"
        f"   errors {result.errors:,}{_compare_hit_ratios(result.outcomes)}"
    )


def _compare_hit_ratios(outcomes: Outcomes) -> str:
    replayed, recorded = hit_ratio(outcomes.replayed), hit_ratio(outcomes.recorded)
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


def _times_table(times: Times) -> Table:
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
        return Text("  of which sending to answer " + duration(result.service_ns.p50) + " p50")
    return Text(
        f"  of which the network and server {duration(result.wire_ns.p50)} p50, "
        f"this client's wake-up {duration(result.client_ns.p50)} p50"
    )


def _measured(verdict: Verdict) -> str:
    value = verdict.measured or 0.0
    if verdict.check.unit == "%" or verdict.check.metric == "hit_ratio":
        return percent(value)
    return duration(value) if verdict.check.unit else count(value)
