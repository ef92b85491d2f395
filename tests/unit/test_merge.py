"""Results of processes that shared a replay, as one."""

from __future__ import annotations

from dataclasses import replace

import pytest

import membench
from membench import UsageError
from membench._observe.beside import ObservedBeside
from membench._replay import TargetShare
from support.replay_result import RESULT
from unit.test_change_causes import HERE, interval

Run = membench.ReplayResult
TARGETS = (TargetShare("a:1", None, ("11211",), 600), TargetShare("b:1", None, ("11212",), 400))


def part(index: int, **changed: object) -> Run:
    """Return the result of one of two processes."""
    result = replace(RESULT, shard=f"{index}/2", histograms={}, targets=TARGETS)
    return replace(result, **changed)  # type: ignore[arg-type]


def stolen(host: str | None, seconds: float) -> dict[str, object]:
    """Return what a process on a host tells of it."""
    facts = None if host is None else replace(HERE, id=host)
    return {"host": facts, "generator": replace(RESULT.generator, stolen_s=seconds)}


def test_stolen_time_is_counted_once_for_each_host() -> None:
    for hosts, total in ((("a", "a"), 3.0), (("a", "b"), 5.0), ((None, None), 5.0)):
        told = zip(hosts, (2.0, 3.0), strict=True)
        runs = [part(index, **stolen(*one)) for index, one in enumerate(told)]
        merged = membench.merge_runs(runs)
        assert merged.generator.stolen_s == total
        assert (merged.host is not None) == (hosts == ("a", "a"))


def test_the_observation_of_merged_runs_is_that_of_the_run_that_observed() -> None:
    tally = ObservedBeside(1, 0, 10)
    observing = part(1, observed=(interval({}),), observation=tally)
    merged = membench.merge_runs([part(0), observing])
    assert (merged.observed, merged.observation) == (observing.observed, tally)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"planned_s": 61.0}, "length: 59 s, 61 s"),
        ({"late_after_ns": 5_000_000}, "lag that counts as late: "),
        ({"targets": ()}, "targets: "),
        ({"load": {"loop": "2"}}, "options: , loop 2"),
    ],
)
def test_runs_of_other_conditions_are_not_merged(changed: dict[str, object], said: str) -> None:
    assert membench.merge_runs([part(0), part(1)]).planned == 2 * RESULT.planned
    with pytest.raises(UsageError, match=f"differ in their {said}"):
        membench.merge_runs([part(0), part(1, **changed)])


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((0, 0), "0/2 is there twice; 1/2 is missing"), ((0,), "1/2 is missing")],
)
def test_an_incomplete_set_of_shards_says_what_is_wrong(
    numbers: tuple[int, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=f"not the 2 shards of a replay: {said}"):
        membench.merge_runs([part(number) for number in numbers])
