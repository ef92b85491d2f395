"""A comparison of replays or recordings → text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from membench._causes import ChangeVerdict
from membench._host import HostDifference
from membench._runs import Change, ChangeCheck, Comparison
from membench.report.artifacts import measured
from membench.report.columns import Columns
from membench.report.numbers import numbered


def render_comparison(found: Comparison) -> RenderableType:
    """Show both sides of each metric, its change, and what makes the sides differ otherwise."""
    return Group(
        Text(f"A        {found.target_a}{_runs(found, found.runs_a)}"),
        Text(f"B        {found.target_b}{_runs(found, found.runs_b)}"),
        *(Text(f"NOTE     {remark}") for remark in found.remarks),
        *(_host(one) for one in found.host_differences),
        Text(),
        _table(found),
        *_basis(found),
        *_verdicts(found.verdicts),
        *(_check(one) for one in found.checks),
    )


def _runs(found: Comparison, amount: int) -> str:
    return "" if found.of == "recordings" else f", {numbered(amount, 'run')}"


def _host(difference: HostDifference) -> Text:
    a, b = (side if side is not None else "none" for side in (difference.a, difference.b))
    return Text(f"HOST     {difference.what} differs: {a} in A, {b} in B")


def _verdicts(verdicts: Sequence[ChangeVerdict]) -> Iterator[Text]:
    """Tell the causes of what changed; metrics with one cause share a line."""
    told: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.cause != "unchanged":
            changed, _, why = verdict.text.partition(": ")
            told.setdefault(why, []).append(changed)
    if told:
        yield Text()
        yield from (Text(f"→ {', '.join(changed)}: {why}") for why, changed in told.items())


def _table(found: Comparison) -> Columns:
    headings = ("A", "B", "change")
    has_intervals = any(change.bounds for change in found.changes)
    table = Columns("metric", *headings, *(["interval"] if has_intervals else []))
    for change in found.changes:
        cells = (
            measured(change.metric, change.a, at_least=change.a_at_least),
            measured(change.metric, change.b, at_least=change.b_at_least),
            _signed(change.change),
        )
        table.add(change.metric, *cells, *([_interval(change)] if has_intervals else []))
    return table


def _signed(change: float | None) -> str:
    return "" if change is None else f"{change * 100:+.1f} %"


def _interval(change: Change) -> str:
    found = change.bounds
    return "" if found is None else f"{_signed(found.low)} to {_signed(found.high)}"


def _basis(found: Comparison) -> Iterator[Text]:
    intervals = [change.bounds for change in found.changes if change.bounds]
    if intervals:
        yield Text(
            f"medians over the runs; intervals enclose the median change of such pairs with"
            f" {min(one.confidence for one in intervals) * 100:.0f} %"
        )
    elif found.of == "recordings":
        yield Text("one recording of each: what changed may be the traffic, or chance")
    else:
        yield Text("too few runs to tell a change from chance: five of each or more give intervals")


def _check(check: ChangeCheck) -> Text:
    found = "not comparable" if check.change is None else _signed(check.change)
    return Text(f"limit    {check.text}   {found}   {'kept' if check.passed else 'EXCEEDED'}")
