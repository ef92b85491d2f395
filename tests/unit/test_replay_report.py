"""Reports of replays as text."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from membench._observe.beside import ObservedBeside
from membench._observe.results import Account
from membench._replay import (
    Check,
    Progress,
    ReplayResult,
    ServerCounters,
)
from membench.report.replay import describe_progress, describe_schedule, render_replay
from support.replay_result import ALL, GET, RESULT
from unit.test_observe_report import INTERVAL

NONE = "\N{EN DASH}"


def as_text(result: ReplayResult) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(render_replay(result))
    return captured.get()


def test_a_replay_says_what_was_sent_and_that_the_timing_held() -> None:
    text = as_text(RESULT)
    assert "target   memcached 1.6.45 at 10.0.0.7:11211" in text
    assert "warm     1,210,000 keys, 383 MiB" in text
    assert "sent 1,000 of 1,000   16.9/s for 59.0 s   answered all   errors 0" in text
    assert "hit ratio 92.1 % (recorded 92.4 %)" in text
    assert "timing held: lag p50 400 ns, p99 21.0 µs, max 900 µs" in text


def test_each_command_has_a_row_of_response_times() -> None:
    line = next(line for line in as_text(RESULT).splitlines() if line.startswith("get "))
    assert line.split("  ")[-1].strip() == "900"
    assert "110 µs" in line
    assert "4.20 ms" in line


def test_network_time_and_client_time_are_separate() -> None:
    text = as_text(RESULT)
    assert "the network and server 80.0 µs p50, this client's wake-up 30.0 µs p50" in text


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"timing_held": False}, "timing NOT held"),
        ({"skipped": {"flush_all": 2}}, "not replayed: flush_all 2"),
        ({"unsent": {"target_closed": 7}}, "not sent: target_closed 7"),
        ({"unanswered": {"late": 1}}, "not answered: late 1"),
        ({"unanswered": {"late": 10}, "answered": 990}, "answered 990"),
        ({"unanswered": {"late": 10}}, "ANSWERS MISSING: 10 requests were sent and got none"),
        ({"stopped": True, "duration_s": 17.2}, "STOPPED after 00:17 of 00:59"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failures_are_shown(change: dict[str, object], shown: str) -> None:
    assert shown in as_text(replace(RESULT, **change))  # type: ignore[arg-type]


def test_outcomes_that_differ_are_counted_by_cause() -> None:
    assert "outcomes that differ: get hit -> miss 3" in as_text(RESULT)


def test_bytes_the_target_did_not_read_are_shown() -> None:
    server = ServerCounters({}, 4_381_425, 4_000_000, False, {}, {})
    text = as_text(replace(RESULT, server=server))
    assert "4,381,425 written, DIFFERS: the target read 4,000,000" in text


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (Check("get.p99<1ms", 1e6, 420_000.0, True), ["get.p99<1ms", "420 µs", "pass"]),
        (Check("get.p99<1us", 1e3, 420_000.0, False), ["get.p99<1us", "420 µs", "FAIL"]),
        (Check("hit_ratio>0.95", 0.95, 0.921, False), ["hit_ratio>0.95", "92.1 %", "FAIL"]),
        (
            Check("get.p99<50ms", 5e7, 9_900_000.0, False, at_least=True),
            ["get.p99<50ms", "≥ 9.90 ms", "FAIL"],
        ),
        (Check("gat.p99<1ms", 1e6, None, False), ["gat.p99<1ms", "not measured", "FAIL"]),
    ],
    ids=lambda value: value.text if isinstance(value, Check) else "",
)
def test_a_check_is_shown_with_what_was_measured(check: Check, words: list[str]) -> None:
    line = as_text(replace(RESULT, checks=(check,))).splitlines()[-1]
    assert line.startswith("check ")
    assert all(word in line for word in words)


def test_progress_shows_rate_response_lag_and_errors() -> None:
    progress = Progress(42.6, 60.0, 1000, 710, 709, 0, 184_090.0, 420_000, 21_000)
    assert describe_progress(progress) == (
        "00:42 of 01:00  184,090/s  p99 420 µs  lag p99 21.0 µs  errors 0"
    )


def test_progress_names_no_time_that_nothing_showed() -> None:
    silent = Progress(42.6, 60.0, 1000, 710, 600, 0, 1_500.0, None, 21_000)
    assert describe_progress(silent) == (
        "00:42 of 01:00  1,500/s  lag p99 21.0 µs  no answer, 110 waiting  errors 0"
    )
    idle = Progress(42.6, 60.0, 1000, 710, 710, 0, 0.0, None, None)
    assert describe_progress(idle) == "00:42 of 01:00  0/s  errors 0"


def test_the_length_of_a_replay_is_told_at_its_start() -> None:
    begun = Progress(1.0, 1228.0, 12_280, 10, 10, 0, 10.0, 420_000, 21_000)
    assert "12,280 requests in 20:28" in describe_schedule(begun)


def test_a_percentile_among_unanswered_requests_is_a_lower_bound() -> None:
    slow = replace(GET, p99=14_000_000_000, unanswered=20, at_least=("p99", "p999", "max"))
    text = as_text(replace(RESULT, response_ns=replace(ALL, by_command={"get": slow})))
    line = next(line for line in text.splitlines() if line.startswith("get "))
    assert "≥ 14.0 s" in line
    assert "190 µs" in line
    everything = replace(ALL, unanswered=20)
    assert "20 requests without an answer" in as_text(replace(RESULT, response_ns=everything))


def observed_text(requests: int, mean_ns: int) -> str:
    """Return the line that puts the client's times beside an account."""
    parts = {"memcached": requests * mean_ns}
    account = Account(requests, requests * mean_ns, parts, {})
    one = replace(INTERVAL, account=account)
    text = as_text(replace(RESULT, observed=(one,), observation=ObservedBeside(1, 0, requests)))
    return " ".join(text[text.index("mean response") :].split())


def test_the_mean_response_is_divided_if_the_account_is_of_the_same_requests() -> None:
    assert observed_text(1000, 86_000).startswith(
        "mean response 120 µs: lag 0 ns + at the server 86.0 µs + network and client 34.0 µs"
    )
    for requests in (900, 1100):
        assert observed_text(requests, 86_000).startswith(
            "mean response 120 µs, at the server 86.0 µs: not divided, as the account has"
            f" {requests:,} requests and the replay 1,000"
        )
    assert observed_text(1000, 130_000).startswith(
        "mean response 120 µs, at the server 130 µs: not divided, as the replay waited 120 µs"
        " from send to answer"
    )


def test_percentiles_of_few_requests_are_left_out() -> None:
    few = replace(GET, count=25)
    text = as_text(replace(RESULT, response_ns=replace(ALL, by_command={"get": few})))
    line = next(line for line in text.splitlines() if line.startswith("get "))
    assert line.split()[-5:] == [NONE, NONE, "4.20", "ms", "25"]
