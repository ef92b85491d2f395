"""Servers' own counters in a report on a recording, and figures that it lacks."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console, Group

from membench._report import ServerStatistics, _statistics, _unobserved
from membench.report.joined import _server
from unit.test_change_causes import interval


def statistics(**start: str) -> ServerStatistics:
    """Return the counters of a server that answered at the end, and so at the start."""
    end = {"pid": "7", "time": "1764500000", "cmd_get": "9"}
    manifest = {
        "statistics_start": {"11211": {"general": start}} if start else {},
        "statistics_end": {"11211": {"general": end}},
    }
    (found,) = _statistics(manifest)
    return found


def test_the_time_between_answers_takes_both() -> None:
    assert statistics(pid="7", time="1764499990", cmd_get="4").length_s == 10
    assert statistics().length_s == 0
    assert statistics(pid="7").length_s == 0


def test_counters_are_unknown_without_an_answer_at_the_start() -> None:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    with console.capture() as captured:
        console.print(Group(*_server(statistics())))
    assert "the server did not answer at the start, was started again" in captured.get()


def test_a_cost_is_not_missing_where_no_request_came() -> None:
    told = replace(interval({}), cpu_share=0.01, cost_ns_per_request=None)
    assert not list(_unobserved(told))
    (missing,) = _unobserved(replace(told, cpu_share=None))
    assert missing.what == "what observing cost"
