"""Thresholds on a replay's result."""

import pytest

from membench import UsageError, checks

TIMES = {"p50": 100_000, "p99": 420_000, "by_command": {"get": {"p50": 90_000, "p99": 410_000}}}
RESULT: dict[str, object] = {
    "sent": 10_000,
    "errors": 5,
    "response_ns": TIMES,
    "service_ns": {"p99": 300_000, "by_command": {"get": {"p99": 200_000}}},
    "lag_ns": {"p50": 400, "p99": 21_000, "by_command": {}},
    "outcomes": {"recorded": {}, "replayed": {"get": {"hit": 900, "miss": 79}, "mg": {"hit": 21}}},
}


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("get.p99<1ms", True),
        ("get.p99<400us", False),
        ("get.p99 <= 410 µs", True),
        ("p99<421000ns", True),
        ("get.service.p99<0.25ms", True),
        ("service.p99<0.25ms", False),
        ("lag.p99<5ms", True),
        ("errors<6", True),
        ("errors<0.01%", False),
        ("errors<=0.05%", True),
        ("hit_ratio>0.95", False),
        ("hit_ratio>92%", True),
    ],
)
def test_a_check_compares_what_was_measured_with_its_limit(text: str, passed: bool) -> None:
    (verdict,) = checks.judge([checks.parse(text)], RESULT)
    assert verdict.passed is passed


def test_what_was_not_measured_does_not_pass() -> None:
    (verdict,) = checks.judge([checks.parse("delete.p99<1s")], RESULT)
    assert verdict.measured is None
    assert not verdict.passed


@pytest.mark.parametrize(
    "text",
    ["", "get.p99", "get.p99<1", "get.p98<1ms", "errors<1ms", "get.p99<1m", "p99=1ms", "x<1"],
)
def test_what_is_no_check_is_a_usage_error_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        checks.parse(text)
    assert "for example" in (caught.value.hint or "")
