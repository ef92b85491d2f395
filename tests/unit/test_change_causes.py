"""Accounts of two sides → the cause of a change, told from its doubles; hosts that differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

import membench
from membench import Account, Culprit, Host, HostFacts, ObserveInterval, PartTimes, ServerFacts
from membench._causes import _NAMES
from membench._observe.results import PARTS
from support.replay_result import RESULT

MS = 1_000_000
SERVER, HOG = 812, 900
REQUESTS = 1000
QUIET = {"memcached": 20_000, "run_queue_woken": 5_000}
HERE = HostFacts(id="a" * 16, kernel="6.18", architecture="x86_64", cpus=2)


def interval(
    parts: Mapping[str, int],
    culprits: tuple[Culprit, ...] = (),
    host: Host | None = None,
) -> ObserveInterval:
    """Return an interval of requests that took the same time each, by parts, ns."""
    whole = sum(parts.values())
    times = {part: PartTimes(*[time] * 5) for part, time in {**parts, "whole": whole}.items()}
    waited = REQUESTS * sum(time for part, time in parts.items() if part.startswith("run_queue"))
    return ObserveInterval(
        ports=(11211,),
        elapsed_s=1.0,
        interval_s=1.0,
        account=Account(
            requests=REQUESTS,
            whole_ns=whole * REQUESTS,
            parts_ns=dict.fromkeys(PARTS, 0)
            | {part: time * REQUESTS for part, time in parts.items()},
            quantiles=times,
        ),
        verdicts=(),
        culprits=culprits,
        waited_ns=waited,
        waited_briefly_ns=0,
        waited_for_unknown_ns=0,
        workers=(membench.Worker(SERVER, SERVER, "mc-worker", REQUESTS, 0, 0, 0, {}),),
        slow=(),
        slow_requests=0,
        slow_unread=0,
        servers=(),
        host=host or Host(steal=0.0, throttled_ns=0, periods_throttled=0, pressure={}),
        misses=membench.RequestMisses(*[0] * 9),
        cost_ns_per_request=None,
        cpu_share=None,
        missing=(),
    )


def run(response_ns: int, *observed: ObserveInterval, **changed: object) -> membench.ReplayResult:
    """Return a result of gets that all took the same time."""
    get = replace(
        RESULT.response_ns.by_command["get"],
        **dict.fromkeys(("p50", "p90", "p95", "p99", "p999", "max"), response_ns),
        mean=float(response_ns),
        count=1000,
    )
    times = replace(RESULT.response_ns, mean=float(response_ns), by_command={"get": get})
    return replace(RESULT, response_ns=times, observed=observed, **changed)  # type: ignore[arg-type]


def verdict(a: membench.ReplayResult, b: membench.ReplayResult) -> membench.ChangeVerdict:
    """Return the verdict on the p99 of gets."""
    found = membench.compare(a, b)
    (one,) = (one for one in found.verdicts if one.metric == "get.p99")
    return one


def culprit(process: int, waited_ns: int, all_ns: int) -> Culprit:
    return Culprit("hog", process, "/backup", waited_ns, 1, waited_ns / all_ns)


def test_neighbours_are_named_with_their_shares() -> None:
    parts = QUIET | {"run_queue_woken": MS}
    waits = MS * REQUESTS
    hogged = interval(parts, (culprit(HOG, waits * 9 // 10, waits),))
    found = verdict(run(100_000, interval(QUIET)), run(100_000 + MS, hogged))
    assert found.cause == "neighbours"
    assert (
        "run-queue wait p99 +995 µs, neighbours' share 0 % → 90.0 %, the most hog 90.0 %;"
        in found.text
    )
    assert found.text.endswith("memcached's own time unchanged")
    assert found.evidence["neighbours_b"] == pytest.approx(0.9)
    # Faster again: the cause is the same.
    back = verdict(run(100_000 + MS, hogged), run(100_000, interval(QUIET)))
    assert back.cause == "neighbours"
    assert "90.0 % → 0 %" in back.text


def test_the_own_quota_is_told_from_neighbours() -> None:
    parts = QUIET | {"run_queue_preempted": MS}
    throttled = Host(steal=0.0, throttled_ns=REQUESTS * MS, periods_throttled=9, pressure={})
    held = interval(parts, (culprit(HOG, MS * REQUESTS, MS * REQUESTS),), throttled)
    found = verdict(run(100_000, interval(QUIET)), run(100_000 + MS, held))
    assert found.cause == "own-quota"
    assert "throttled for 0 % → " in found.text


def test_memcached_itself_is_told_from_the_cpu() -> None:
    slower = interval(QUIET | {"memcached": MS})
    found = verdict(run(100_000, interval(QUIET)), run(100_000 + MS, slower))
    assert found.cause == "memcached"


def test_what_the_server_s_time_does_not_explain_is_outside_or_lag() -> None:
    same = interval(QUIET)
    assert verdict(run(100_000, same), run(100_000 + MS, same)).cause == "outside"
    late = replace(RESULT.lag_ns, mean=float(MS))
    found = verdict(run(100_000, same), run(100_000 + MS, same, lag_ns=late))
    assert found.cause == "lag"
    assert "lag +999 µs" in found.text


def test_without_an_observation_the_cause_is_unknown_and_small_changes_are_none() -> None:
    found = verdict(run(100_000, interval(QUIET)), run(200_000))
    assert found.cause == "unknown"
    assert "B was not observed" in found.text
    assert verdict(run(100_000), run(102_000)).cause == "unchanged"


def test_what_was_measured_on_different_hosts_is_not_compared_silently() -> None:
    there = replace(HERE, id="b" * 16, kernel="5.10")
    a, b = run(1000, host=HERE), run(1000, host=there)
    with pytest.raises(membench.UsageError, match="different hosts") as refused:
        membench.compare(a, b)
    assert refused.value.hint
    assert "across_hosts=True" in refused.value.hint
    assert "--across-hosts" in (refused.value.command_hint or "")
    found = membench.compare(a, b, across_hosts=True)
    assert [(one.what, one.a, one.b) for one in found.host_differences] == [
        ("kernel", "6.18", "5.10")
    ]
    assert "HOST     kernel differs: 6.18 in A, 5.10 in B" in str(found)
    # Where a host is not known, nothing can be refused.
    assert membench.compare(a, run(1000)).host_differences == ()


def test_each_fact_about_the_host_that_differs_is_named() -> None:
    server = ServerFacts(11211, ("other",), ("0-1",), {})
    a = replace(HERE, preemption="full", interrupts={"eth0-rx": "0"}, servers=(server,))
    limited = replace(server, scheduling=("fifo 50",), limits={"cpu.max": "5000 100000"})
    b = replace(
        a,
        preemption="lazy",
        governor="powersave",
        transparent_hugepages="never",
        interrupts={"eth0-rx": "1"},
        servers=(limited,),
    )
    found = membench.compare(run(1000, host=a), run(1000, host=b)).host_differences
    assert {one.what: (one.a, one.b) for one in found} == {
        "preemption model": ("full", "lazy"),
        "frequency governor": (None, "powersave"),
        "transparent huge pages": (None, "never"),
        "interrupts of eth0-rx": ("0", "1"),
        "scheduling policy of the threads, port 11211": ("other", "fifo 50"),
        "control group of port 11211: cpu.max": (None, "5000 100000"),
    }


def test_each_part_has_a_name_of_its_own() -> None:
    queue = {"run_queue_woken", "run_queue_preempted"}
    assert _NAMES.keys() - {"run-queue"} == set(PARTS) - queue


def test_a_part_that_explains_too_little_is_no_cause() -> None:
    hardly = interval(QUIET | {"memcached": 21_000, "send": 500})
    recorded = verdict(run(100_000, interval(QUIET)), run(100_000 + MS, hardly))
    assert recorded.cause == "outside"
    # The mean fell while the p99 rose: no part may be blamed by the mean.
    quick = replace(RESULT.response_ns.by_command["get"], p99=5 * MS, mean=10.0, count=1000)
    faster = run(100_000, interval(QUIET))
    times = replace(faster.response_ns, by_command={"get": quick})
    found = verdict(run(100_000, interval(QUIET)), replace(faster, response_ns=times))
    assert found.cause == "outside"
