"""An observation of a replay's target: its begin, and its tally."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import membench
from membench import _replay
from membench._observe.beside import ObservedBeside
from membench._observe.target import BesideReplay
from unit.test_change_causes import interval

SEALED = Path(__file__).parents[1] / "data" / "sealed"


def test_nothing_is_attached_before_the_host_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []

    def fail(_: object) -> None:
        raise OSError("the host cannot be read")

    monkeypatch.setattr(_replay, "read_host", fail)
    monkeypatch.setattr(_replay, "BesideReplay", lambda *given: begun.append(given))
    with pytest.raises(OSError, match="the host cannot be read"):
        membench.replay(SEALED, "127.0.0.1:11211", observe=True)
    assert not begun


def test_the_tally_of_an_observation_is_of_the_intervals_that_are_kept() -> None:
    beside = object.__new__(BesideReplay)
    beside._companion = SimpleNamespace(result=lambda: ObservedBeside(9, 1, 3014, 14))  # type: ignore[assignment]
    one = interval({"memcached": 1})
    assert one.account is not None
    found = beside.result([one, replace(one, account=None)])
    assert (found.intervals, found.lost, found.requests) == (2, 1, one.account.requests)
    assert found.left_out == 0
