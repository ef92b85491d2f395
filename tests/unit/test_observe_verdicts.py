"""Figures of an interval → causes, each told from its double."""

from __future__ import annotations

from dataclasses import replace

import pytest

from membench import Account, Culprit, Host, RequestMisses, TcpEvents, Worker
from membench._observe.host import parse_throttled
from membench._observe.results import PARTS, Counted
from membench._observe.verdicts import judge

SERVER = 812
QUIET = Host(steal=0.0, throttled_ns=0, periods_throttled=0, pressure={})
THROTTLED = Host(steal=0.0, throttled_ns=400, periods_throttled=4, pressure={})
STOLEN = Host(steal=0.3, throttled_ns=0, periods_throttled=0, pressure={})
WAITS = {"run_queue_preempted": 600, "memcached": 400}


def culprit(task: str, process: int, share: float, cgroup: str | None = "/") -> Culprit:
    return Culprit(task, process, cgroup, int(share * 600), 1, share)


def worker(thread: int, requests: int) -> Worker:
    return Worker(SERVER, thread, "mc-worker", requests, 0, requests, requests, {})


def interval(
    parts: dict[str, int],
    culprits: tuple[Culprit, ...] = (),
    workers: tuple[Worker, ...] = (worker(1, 5), worker(2, 5)),
) -> Counted:
    whole = sum(parts.values())
    return Counted(
        elapsed_s=1.0,
        interval_s=1.0,
        account=Account(10, whole, dict.fromkeys(PARTS, 0) | parts, {}),
        culprits=culprits,
        waited_ns=600,
        waited_briefly_ns=0,
        waited_for_unknown_ns=0,
        workers=workers,
        commands=None,
        connections=None,
        tcp_events=TcpEvents(0, 0, 0),
        slow=(),
        slow_requests=None,
        slow_unread=0,
        misses=RequestMisses(0, 0, 0, 0, 0, 0, 0, 0, 0),
        cost_ns_per_request=None,
        cpu_share=None,
    )


def rules(counted: Counted, host: Host = QUIET) -> list[str]:
    return [verdict.rule for verdict in judge(counted, host, frozenset({SERVER}))]


def test_waits_for_a_cpu_are_told_apart_by_quota_steal_and_neighbours() -> None:
    backup = culprit("backup", 7, 0.7, "/system.slice/backup.service")
    waiting = interval(WAITS, (backup, culprit("mc-worker", SERVER, 0.2)))
    assert rules(waiting, THROTTLED) == ["own-quota"]
    assert rules(waiting, STOLEN) == ["steal"]
    assert rules(waiting) == ["neighbours"]
    (verdict,) = judge(waiting, QUIET, frozenset({SERVER}))
    assert "backup in /system.slice/backup.service 70.0 %" in verdict.text
    assert verdict.evidence["share"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (replace(QUIET, steal=0.019, throttled_ns=54), "steal 1.9 %, throttled for 9.0 % of"),
        (replace(QUIET, throttled_ns=None), "steal 0 %, throttling unknown"),
        (QUIET, "steal 0 %, throttled for 0 % of"),
    ],
)
def test_steal_and_throttling_that_explain_nothing_are_told_as_they_are(
    host: Host, told: str
) -> None:
    (verdict,) = judge(interval(WAITS, (culprit("backup", 7, 0.7),)), host, frozenset({SERVER}))
    assert verdict.rule == "neighbours"
    assert told in verdict.text
    assert ("throttled" in verdict.evidence) == (host.throttled_ns is not None)


def test_the_server_s_own_threads_and_idle_cpus_are_no_neighbours() -> None:
    own = interval(WAITS, (culprit("mc-worker", SERVER, 0.8), culprit("backup", 7, 0.1)))
    idle = interval(WAITS, (culprit("idle", 0, 0.8, None), culprit("backup", 7, 0.1)))
    assert rules(own) == ["own-threads"]
    assert rules(idle) == ["idle-cpu"]


@pytest.mark.parametrize("part", ["stopped", "lock", "page_fault", "disk", "kernel_wait", "parked"])
def test_a_part_that_speaks_for_itself_is_its_own_rule(part: str) -> None:
    assert rules(interval({part: 100, "memcached": 900})) == [part.replace("_", "-")]
    assert rules(interval({part: 40, "memcached": 960})) == ["nothing"]


def test_without_most_of_the_waits_nobody_is_the_cause() -> None:
    few = interval(WAITS, (culprit("backup", 7, 0.4), culprit("idle", 0, 0.3, None)))
    assert rules(few) == rules(interval(WAITS, ())) == ["mixed"]


def test_waits_behind_others_are_told_apart_by_the_workers_shares() -> None:
    parts = {"ahead": 500, "memcached": 500}
    assert rules(interval(parts)) == ["ahead"]
    assert rules(interval(parts, workers=(worker(1, 9), worker(2, 1)))) == ["uneven-workers"]


def test_the_largest_cause_comes_first() -> None:
    assert rules(interval({"stopped": 200, "lock": 700, "memcached": 100})) == ["lock", "stopped"]


def test_throttling_is_read_from_both_versions_of_control_groups() -> None:
    assert parse_throttled("nr_periods 9\nnr_throttled 4\nthrottled_usec 20\n") == (20_000, 4)
    assert parse_throttled("nr_periods 9\nnr_throttled 4\nthrottled_time 20\n") == (20, 4)
    assert parse_throttled("usage_usec 5\n") is None
    assert parse_throttled("") is None
