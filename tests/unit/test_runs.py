"""Files of `replay --out` and `compare`: changes, intervals, limits, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import jsonschema
import pytest

import membench
from membench import Percentiles, UsageError, cli
from membench._recordings import TIMES
from membench._runs import SCHEMA_VERSION, _bounds, _Limit
from membench.cli import output
from support.json_schema import schema_of
from support.replay_result import RESULT

Run = membench.ReplayResult
SCHEMA = Path(__file__).parents[2] / "docs" / "replay.schema.json"


def run(p99: int, *, unanswered: bool = False, **changed: object) -> Run:
    """Return a result whose gets have a p99, which is a lower bound where answers are missing."""
    bounds = ("p99", "p999", "max") if unanswered else ()
    get = replace(RESULT.response_ns.by_command["get"], p99=p99, count=1000, at_least=bounds)
    times = replace(RESULT.response_ns, by_command={"get": get})
    return replace(RESULT, response_ns=times, **changed)  # type: ignore[arg-type]


def change(found: membench.Comparison, metric: str) -> membench.Change:
    (one,) = (one for one in found.changes if one.metric == metric)
    return one


def test_a_change_is_the_median_of_the_pairs_and_not_of_the_sides() -> None:
    befores, afters = [100, 200, 400], [110, 240, 420]
    found = membench.compare([run(one) for one in befores], [run(one) for one in afters])
    get = change(found, "get.p99")
    assert (get.a, get.b) == (200, 240)
    assert get.change == pytest.approx(0.10)
    assert get.bounds is None


@pytest.mark.parametrize("pairs", range(5, 13))
def test_an_interval_encloses_the_median_as_often_as_it_says(pairs: int) -> None:
    found = _bounds([float(one) for one in range(pairs)])
    assert found is not None
    low, high = int(found.low), int(found.high)
    assert found.confidence == pytest.approx(enclosing(pairs, low, high))
    assert found.confidence >= 0.95 or low == 0
    assert enclosing(pairs, low + 1, high - 1) < 0.95


def enclosing(pairs: int, low: int, high: int) -> float:
    """Return the share of all ways in which the changes `low` and `high` enclose the true median.

    Each change is above or below it with the same probability; of the ordered changes the first
    are below.
    """
    below = [sum(each) for each in product((False, True), repeat=pairs)]
    return sum(low < number <= high for number in below) / 2**pairs


def test_four_pairs_have_no_bounds() -> None:
    assert _bounds([0.1, 0.2, 0.3, 0.4]) is None


@pytest.mark.parametrize(
    ("a", "b", "limit", "kept"),
    [
        (run(1000), run(1040), "get.p99:+5%", True),
        (run(1000), run(1060), "get.p99:+5%", False),
        (run(1000), run(500), "get.p99:-40%", False),
        (run(1000), run(700), "get.p99:-40%", True),
        (run(1000), run(1000, unanswered=True), "get.p99:+5%", False),
        (run(1000, unanswered=True), run(1000), "get.p99:+5%", True),
        (run(1000, unanswered=True), run(1000), "get.p99:-5%", False),
        (run(1000), run(1000), "set.p99:+5%", False),
        (run(1000, errors=0), run(1000, errors=0), "errors:+0%", True),
        (run(1000, errors=0), run(1000, errors=3), "errors:+50%", False),
        (run(1000, errors=0), run(1000, errors=3), "errors:-50%", True),
    ],
)
def test_a_limit_is_kept_only_if_that_is_certain(a: Run, b: Run, limit: str, kept: bool) -> None:
    found = membench.compare(a, b, limits=[limit])
    assert found.passed is kept
    assert found.checks[0].text == limit


@pytest.mark.parametrize(
    "limit", ["", "get.p99", "get.p99:5%", "get.p99:+5", "gut.p99:+5%", "get.p98:+5%", "hits:+1%"]
)
def test_what_is_no_limit_is_refused_with_what_would_be_one(limit: str) -> None:
    with pytest.raises(UsageError, match="not a limit of a change") as refused:
        membench.compare(run(1), run(1), limits=[limit])
    assert refused.value.hint


def test_a_limit_that_no_recording_measures_is_refused() -> None:
    with pytest.raises(UsageError, match="no recording has `errors`") as refused:
        _Limit.parse("errors:+1%", TIMES)
    assert refused.value.hint
    assert _Limit.parse("hit_ratio:-1%", TIMES).metric == ("hit_ratio",)
    assert _Limit.parse("errors:+1%").metric == ("errors",)


def test_a_limit_is_not_kept_by_runs_that_measured_nothing() -> None:
    nothing = replace(RESULT, response_ns=replace(RESULT.response_ns, by_command={}))
    found = membench.compare([run(1000), nothing], [run(900), run(800)], limits=["get.p99:+5%"])
    assert not found.passed


def test_conditions_that_differ_are_told() -> None:
    other = run(1000, pacing="speed=2", timing_held=False)
    found = membench.compare(run(1000), other)
    assert any("pacing differs: recorded in A, speed=2 in B" in one for one in found.remarks)
    assert any("1 of 1 runs of B did not hold the timing" in one for one in found.remarks)
    assert not found.held
    told = str(found)
    assert all(one in " ".join(told.split()) for one in found.remarks)


def test_a_metric_that_too_few_requests_have_is_not_compared() -> None:
    few: Percentiles = replace(RESULT.response_ns.by_command["get"], count=99)
    one = replace(RESULT, response_ns=replace(RESULT.response_ns, by_command={"get": few}))
    names = {each.metric for each in membench.compare(one, one).changes}
    assert "get.p90" in names
    assert "get.p99" not in names


def test_sides_of_different_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="2 runs cannot be paired with 1"):
        membench.compare([run(1), run(2)], run(1))
    with pytest.raises(UsageError, match="names no run"):
        membench.compare([], [])


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Run, str], Path]:
    """Return a function that writes a result as `replay --out` does."""

    def write(result: Run, name: str) -> Path:
        path = tmp_path / name
        path.write_text(output.as_json(result))
        return path

    return write


def test_a_file_gives_the_result_that_was_written(written: Callable[[Run, str], Path]) -> None:
    result = run(1234, unanswered=True)
    assert membench.open_run(written(result, "run.json")) == result


def test_a_folder_is_its_runs_in_the_order_of_their_names(
    written: Callable[[Run, str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, times in (("a", (100, 200)), ("b", (110, 230))):
        (tmp_path / side).mkdir()
        for number, p99 in enumerate(times):
            written(run(p99), f"{side}/{number}.json")
    arguments = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    assert cli.main([*arguments, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (get,) = (one for one in told["changes"] if one["metric"] == "get.p99")
    assert (told["runs_a"], get["a"], get["b"]) == (2, 150, 170)
    assert get["change"] == pytest.approx((0.10 + 0.15) / 2)
    assert cli.main([*arguments, "--fail", "get.p99:+5%"]) == 99
    assert "EXCEEDED" in capsys.readouterr().out


def damaged() -> Iterator[bytes]:
    whole = json.loads(output.as_json(RESULT))
    yield b""
    yield b"\xff\xfe"
    yield b"[]"
    yield b"[" * 200_000
    yield json.dumps({name: value for name, value in whole.items() if name != "sent"}).encode()
    yield json.dumps(whole | {"sent": "7"}).encode()
    yield json.dumps(
        {name: value for name, value in whole.items() if name != "schema_version"}
    ).encode()
    yield json.dumps(whole | {"schema_version": True}).encode()
    yield json.dumps(whole | {"response_ns": [1]}).encode()
    yield json.dumps(whole | {"checks": 7}).encode()
    yield json.dumps(whole | {"skipped": []}).encode()
    yield json.dumps(whole | {"duration_s": float("nan")}).encode()
    yield json.dumps(whole | {"duration_s": 10**400}).encode()
    yield json.dumps(whole | {"sent": 10**400}).encode()
    yield json.dumps(whole).replace('"duration_s": ', '"duration_s": 1e999, "x": ').encode()
    yield json.dumps(whole | {"schema_version": 2}).encode()
    yield json.dumps(whole | {"schema_version": "\x1b[2J" * 100}).encode()


@pytest.mark.parametrize("content", list(damaged()), ids=lambda content: str(len(content)))
def test_a_file_that_holds_no_result_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        membench.open_run(path)
    assert refused.value.hint
    assert len(str(refused.value)) < 300


def test_fields_of_a_later_membench_are_passed_over(
    written: Callable[[Run, str], Path], tmp_path: Path
) -> None:
    told = json.loads(written(RESULT, "run.json").read_text())
    told |= {"more": 1, "target": told["target"] | {"more": [2]}}
    later = tmp_path / "later.json"
    later.write_text(json.dumps(told))
    assert membench.open_run(later) == RESULT


def test_folders_whose_runs_are_no_pairs_are_refused(
    written: Callable[[Run, str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/1.json", "a/2.json", "b/1.json", "b/3.json", "b/.4.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        written(run(100), name)
    assert cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "runs of one side only: 2.json, 3.json" in capsys.readouterr().err


def test_a_report_shows_nothing_that_steers_a_terminal() -> None:
    target = replace(RESULT.target, version="1.6\x1b[31m\x1b]0;title\x07\ud800")
    shown = str(replace(RESULT, target=target)) + str(membench.compare(RESULT, RESULT))
    assert shown.replace("\n", "").isprintable()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, tmp_path / "nothing", Path("/dev/zero")):
        with pytest.raises(UsageError, match=path.name):
            membench.open_run(path)


def test_the_published_schema_is_that_of_a_result(update_golden: bool) -> None:
    schema = schema_of(Run, SCHEMA_VERSION)
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if update_golden:
        SCHEMA.write_text(text)
    assert SCHEMA.read_text() == text
    told = json.loads(output.as_json(RESULT))
    jsonschema.validate(told, schema)
    for name in told:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(told | {name: object}, schema)
