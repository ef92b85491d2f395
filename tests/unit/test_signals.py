"""Ctrl-C at any moment: what was counted is printed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from membench._probe import LostHits
from membench.cli import observe, probe
from membench.cli.signals import noted


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


NONE = LostHits(0, 0, 0, 0)


@dataclass(frozen=True)
class Interval:
    """Holds the fields of an interval that the commands read."""

    taken: str
    #: None if no request is observed, which a probe never does.
    misses: int | None
    lost: LostHits = NONE
    slow_unread: int = 0
    stepped_down: None = None


class Interrupted:
    """Something observed to which Ctrl-C comes when an interval has been taken."""

    def __init__(self, number: int, misses: int | None) -> None:
        self.number = number
        self.misses = misses
        self.is_stopped = False

    def stop(self) -> None:
        self.is_stopped = True

    def __iter__(self) -> Iterator[Interval]:
        signal.raise_signal(self.number)
        yield Interval("before", self.misses)
        assert self.is_stopped
        yield Interval("after", self.misses)


def test_a_signal_is_noted_and_acted_on_without_an_exception() -> None:
    acts: list[str] = []
    came = noted(signal.SIGINT, signal.SIGTERM, then=lambda: acts.append("act"))
    signal.raise_signal(signal.SIGTERM)
    assert came == {signal.SIGTERM}
    assert acts == ["act"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interval_that_was_taken_when_the_signal_came_is_printed(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted = Interrupted(number, None)
    noted(signal.SIGINT, signal.SIGTERM, then=interrupted.stop)
    shown = observe.Shown(is_json=True, by_worker=False, timeline=None, metrics=None)
    observe._show_all(interrupted, shown)
    assert taken(capsys) == ["before", "after"]
    probe._show_all(Interrupted(number, 0), True, announced=False)
    assert taken(capsys) == ["before", "after"]


def taken(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["taken"] for line in capsys.readouterr().out.splitlines()]
