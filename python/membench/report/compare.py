"""A comparison of replays → text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from membench._runs import Change, ChangeCheck, Comparison
from membench.report.artifacts import measured
from membench.report.columns import Columns
from membench.report.numbers import numbered


def render_comparison(found: Comparison) -> RenderableType:
    """Show both sides of each metric, its change, and what makes the sides differ otherwise."""
    return Group(
        Text(f"A        {found.target_a}, {numbered(found.runs_a, 'run')}"),
        Text(f"B        {found.target_b}, {numbered(found.runs_b, 'run')}"),
        *(Text(f"NOTE     {remark}") for remark in found.remarks),
        Text(),
        _table(found),
        *_basis(found),
        *(_check(one) for one in found.checks),
    )


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
    else:
        yield Text("too few runs to tell a change from chance: five of each or more give intervals")


def _check(check: ChangeCheck) -> Text:
    found = "not comparable" if check.change is None else _signed(check.change)
    return Text(f"limit    {check.text}   {found}   {'kept' if check.passed else 'EXCEEDED'}")
