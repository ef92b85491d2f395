"""The tally of an observation of a replay's target."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from membench._observe.beside import ObservedBeside
from membench._observe.target import BesideReplay
from unit.test_causes import interval


def test_the_tally_of_an_observation_is_of_the_intervals_that_are_kept() -> None:
    beside = object.__new__(BesideReplay)
    beside._companion = SimpleNamespace(result=lambda: ObservedBeside(9, 1, 3014, 14))  # type: ignore[assignment]
    one = interval({"memcached": 1})
    assert one.account is not None
    found = beside.result([one, replace(one, account=None)])
    assert (found.intervals, found.lost, found.requests) == (2, 1, one.account.requests)
    assert found.left_out == 0
