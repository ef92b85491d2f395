"""The account of a trace, and totals: the words for each case."""

from __future__ import annotations

from membench import CallsLost, CallsSkipped, CallTally, CallTotal
from membench.report.trace import render_cost, render_tally, render_totals

LOST = CallsLost(ring_full=0, unreturned=0, malformed=0)
SKIPPED = CallsSkipped(faster=0, other_outcome=0, other_descriptor=0, compat=0, older=0)


def tally(
    lost: CallsLost = LOST,
    skipped: CallsSkipped = SKIPPED,
    *,
    shown: int = 1_200,
    unfinished: int = 0,
    unentered: int = 0,
    runs_skipped: int = 0,
    lost_aside: int = 0,
    hooks: str = "tracepoints",
) -> CallTally:
    """Make an account that adds up."""
    return CallTally(
        made=shown + lost.total + skipped.total,
        shown=shown,
        lost=lost,
        skipped=skipped,
        unentered=unentered,
        unfinished=unfinished,
        runs_skipped=runs_skipped,
        lost_aside=lost_aside,
        hooks=hooks,
        cost_ns=61.4,
    )


def test_a_complete_trace_is_one_line() -> None:
    assert render_tally(tally()) == "1,200 calls made = 1,200 shown + 0 lost + 0 skipped"


def test_each_cause_has_its_line_and_its_words() -> None:
    lost = CallsLost(ring_full=3, unreturned=2, malformed=1)
    skipped = CallsSkipped(faster=10, other_outcome=20, other_descriptor=30, compat=40, older=50)
    text = render_tally(
        tally(lost, skipped, unfinished=4, unentered=5, runs_skipped=6, lost_aside=7)
    )
    first, *rest = text.splitlines()
    assert first == "1,356 calls made = 1,200 shown + 6 lost + 150 skipped"
    expected = [3, 2, 1, 10, 20, 30, 40, 50, 4, 5, 7, 6]
    assert [int(line.split()[0]) for line in rest] == expected
    assert "--ring-size" in rest[0]
    assert len({line.split(maxsplit=1)[1] for line in rest}) == len(rest)


def test_the_price_is_that_of_the_hooks_in_use() -> None:
    assert "every system call of this machine, each of which takes about 61 ns" in render_cost(
        tally()
    )
    assert "pay nothing" in render_cost(tally(hooks="functions"))


def test_totals_have_the_columns_of_strace() -> None:
    totals = [
        CallTotal(call="read", calls=4, errors=1, time_ns=3_000_000, longest_ns=2_000_000),
        CallTotal(call="close", calls=1, errors=0, time_ns=1_000_000, longest_ns=1_000_000),
    ]
    rows = render_totals(totals).splitlines()
    assert rows[2].split() == ["75.00", "0.003000", "750.00", "2000.0", "4", "1", "read"]
    assert rows[3].split() == ["25.00", "0.001000", "1000.00", "1000.0", "1", "close"]
    assert rows[-1].split() == ["100.00", "0.004000", "800.00", "2000.0", "5", "1", "total"]
    assert render_totals([]).splitlines()[-1].split()[-2:] == ["0", "total"]
