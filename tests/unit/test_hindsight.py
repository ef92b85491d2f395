"""Intervals of the last while, and the conditions on which they are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_observe_report import ACCOUNT, INTERVAL

from membench import PartTimes
from membench._observe.hindsight import Condition, Hindsight
from membench.errors import UsageError

LOCKS = PartTimes(0, 0, 600_000, 900_000, 2_000_000)


def test_intervals_that_are_older_than_asked_for_are_forgotten() -> None:
    hindsight = Hindsight(3.0)
    for second in range(1, 11):
        hindsight.add(replace(INTERVAL, elapsed_s=float(second)))
    assert [one.elapsed_s for one in hindsight.take()] == [8.0, 9.0, 10.0]
    assert hindsight.take() == []


def test_the_last_interval_is_kept_however_long_it_is() -> None:
    hindsight = Hindsight(1.0)
    hindsight.add(replace(INTERVAL, elapsed_s=100.0))
    assert len(hindsight.take()) == 1


def test_no_more_intervals_are_kept_than_fit() -> None:
    hindsight = Hindsight(1e9)
    for number in range(4000):
        hindsight.add(replace(INTERVAL, elapsed_s=float(number)))
    assert len(hindsight.take()) == 3600


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p99>39us", True),
        ("p99 > 0.041 ms", False),
        ("max>299ms", True),
        ("memcached.p50>8us", True),
        ("lock.p99>0.5ms", True),
        ("lock.p50>1ns", False),
        ("disk.max>1ns", False),
    ],
)
def test_a_condition_holds_if_the_quantile_of_its_part_is_longer(text: str, holds: bool) -> None:
    account = replace(ACCOUNT, quantiles={**ACCOUNT.quantiles, "lock": LOCKS})
    assert Condition.parse(text).holds(replace(INTERVAL, account=account)) == holds


def test_without_an_account_no_condition_holds() -> None:
    assert not Condition.parse("p50>1ns").holds(replace(INTERVAL, account=None))


@pytest.mark.parametrize("text", ["", "p99", "p98>1ms", "p99<1ms", "p99>1", "p99>-1ms", "p99>ms"])
def test_what_is_no_condition_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="not a condition") as refused:
        Condition.parse(text)
    assert "p99>2ms" in (refused.value.hint or "")


def test_a_part_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="called `locks`") as refused:
        Condition.parse("locks.p99>1ms")
    assert "lock" in (refused.value.hint or "")
