"""Intervals of an observation as text."""

import io
from dataclasses import replace

from rich.console import Console

from membench import (
    Account,
    BusyConnections,
    CommandRequests,
    ConnectionRequests,
    Culprit,
    Host,
    Missing,
    ObservedServer,
    ObserveInterval,
    PartTimes,
    RequestMisses,
    ServerThread,
    SlowRequest,
    TcpEvents,
    TcpHealth,
    Verdict,
    Worker,
)
from membench._observe.results import PARTS
from membench.report.observe import render_interval

WHOLE = PartTimes(9_000, 12_000, 40_000, 90_000, 300_000_000)
ACCOUNT = Account(
    requests=1000,
    whole_ns=10_000_000,
    parts_ns=dict.fromkeys(PARTS, 0) | {"memcached": 4_000_000, "stopped": 6_000_000},
    quantiles={"memcached": WHOLE, "whole": WHOLE},
)
STATES = {"running": 500_000_000, "run_queue_woken": 1, "run_queue_preempted": 9_999_999}
INTERVAL = ObserveInterval(
    ports=(11211,),
    elapsed_s=5.0,
    interval_s=1.0,
    account=ACCOUNT,
    verdicts=(Verdict("memcached was stopped: 60%", "stopped", {"share": 0.6}),),
    culprits=(Culprit("backup", 7, "/system.slice/backup.service", 4_000_000, 9, 0.4),),
    waited_ns=10_000_000,
    waited_briefly_ns=1_000_000,
    waited_for_unknown_ns=0,
    workers=(Worker(812, 813, "mc-worker", 1000, 10_000_000, 1000, 500, STATES),),
    slow=(),
    slow_requests=None,
    slow_unread=0,
    servers=(ObservedServer(11211, 812, (), {}),),
    host=Host(0.0, None, 0, {"cpu": 0.25}),
    misses=RequestMisses(0, 0, 1, 0, 0, 0, 0, 0, 0),
    cost_ns_per_request=430.0,
    cpu_share=0.004,
    missing=(),
    tier=2,
)
THREAD = ServerThread(813, "mc-worker", "worker", 250_000_000, 10_000_000, 900, 30, 5, 1)


def lines(interval: ObserveInterval, *, by_worker: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(render_interval(interval, by_worker=by_worker))
    return [line.rstrip() for line in captured.get().splitlines()]


def row(told: list[str], begin: str) -> list[str]:
    return next(line for line in told if line.startswith(begin)).removeprefix(begin).split()


def test_an_account_says_each_part_its_share_and_its_quantiles() -> None:
    told = lines(INTERVAL)
    assert told[:2] == [
        "port 11211   00:05   1,000 requests   1.00 k/s",
        "left out   1 without a known arrival",
    ]
    assert row(told, "memcached's own")[:4] == ["40.0", "%", "4.00", "µs"]
    assert row(told, "the whole")[-2:] == ["300", "ms"]
    assert row(told, "stopped")[:2] == ["60.0", "%"]
    assert row(told, "unexplained")[:2] == ["0", "%"]
    assert not any(line.startswith("waits for memory") for line in told)
    assert "→ memcached was stopped: 60%" in told


def test_culprits_workers_host_and_cost_are_told() -> None:
    told = lines(INTERVAL)
    assert row(told, "backup 7  /system.slice/backup.service")[:4] == ["40.0", "%", "4.00", "ms"]
    assert row(told, "mc-worker 813")[0] == "1,000"
    assert row(told, "mc-worker 813")[-1] == "2.0"
    assert "host   steal 0 %   CPU quota unknown   pressure: cpu 25.0 %" in told
    assert told[-2:] == [
        "cost   430 ns a request, 0.40 % of one CPU",
        "tier   2: also each request",
    ]


def test_a_step_down_says_why_and_to_what() -> None:
    said = "the programs took 4.20 % of one CPU, more than 3.00 %"
    told = lines(replace(INTERVAL, stepped_down=said))
    assert told[-1] == f"tier   1 from now on: {said}"


def test_the_account_is_told_by_worker_command_and_connection() -> None:
    parts = ACCOUNT.parts_ns
    worker = replace(INTERVAL.workers[0], parts_ns=parts, quantiles=ACCOUNT.quantiles)
    connection = ConnectionRequests(
        "10.0.0.1:5000", 11211, 812, 813, "mc-worker", 600, 6_000_000, parts, WHOLE, 1, 2, 90_000, 3
    )
    grouped = replace(
        INTERVAL,
        workers=(worker,),
        commands=(CommandRequests("get", ACCOUNT),),
        connections=BusyConnections((connection,) * 12, 3, 400, 4_000_000),
    )
    told = lines(grouped, by_worker=True)
    group = ["1,000", "9.00", "µs", "40.0", "µs", "300", "ms", "stopped", "60.0", "%"]
    assert row(told, "get") == group
    assert [line for line in told if line.startswith("mc-worker 813") and "stopped" in line]
    own = ["mc-worker", "813", "600", "9.00", "µs", "40.0", "µs", "300", "ms", "90.0", "µs"]
    assert row(told, "10.0.0.1:5000") == [*own, "3", "6.00", "ms"]
    # Ten are listed; the rest is in one line.
    assert row(told, "others") == ["1,600", "16.0", "ms"]
    assert all(len(line) <= 100 for line in told)
    assert not [
        line for line in lines(grouped) if line.startswith("mc-worker") and "stopped" in line
    ]


def test_connections_and_counters_of_tcp_are_told() -> None:
    health = TcpHealth(50, 19_000, 80_000, 90_000, 10, 12, 0, 0, 3, 1024)
    server = ObservedServer(11211, 812, (), {}, health)
    host = replace(INTERVAL.host, tcp={"RetransSegs": 12, "OutRsts": 0})
    told = lines(replace(INTERVAL, servers=(server,), host=host, tcp_events=TcpEvents(9, 0, 2)))
    measured = "50 connections   round trip 19.0 µs, at most 90.0 µs   cwnd from 10   retrans 12"
    assert [line for line in told if line.startswith("TCP")] == [
        f"TCP    port 11211   {measured}",
        "TCP    port 11211   3 of 1,024 wait to be accepted",
        "TCP    these ports   retransmitted 9, resets received 2",
        "TCP    all sockets   RetransSegs 12",
    ]


def test_slow_requests_are_told_by_client_with_the_largest_part() -> None:
    parts = dict.fromkeys(PARTS, 0) | {"stopped": 3_000_000, "memcached": 1_000_000}
    slow = SlowRequest(
        0, 1.25, 4_000_000, parts, "10.0.0.1:5000", 11211, 812, 813, "mc-worker", "get", "END", 7, 5
    )
    told = lines(replace(INTERVAL, slow=(slow,) * 12, slow_requests=1_500, slow_unread=8))
    assert any(line.startswith("1,500 slow requests, by client") for line in told)
    assert row(told, "10.0.0.1:5000") == [
        *("1.250", "s", "4.00", "ms", "stopped", "75.0", "%", "mc-worker", "813", "get"),
    ]
    for words in ("2 more are kept", "1,480 shorter ones", "8 not looked at: too many at a time"):
        assert words in told
    assert not any("slow" in line for line in lines(replace(INTERVAL, slow_requests=0)))


def test_without_requests_threads_counters_and_what_is_missing_are_told() -> None:
    server = ObservedServer(11211, 812, (THREAD,), {"cmd_get": 100, "cmd_set": 0})
    told = lines(
        replace(
            INTERVAL,
            account=None,
            verdicts=(),
            culprits=(),
            workers=(),
            servers=(server,),
            misses=None,
            cpu_share=None,
            missing=(Missing("where the time goes", "`--requests`"),),
        )
    )
    assert row(told, "mc-worker 813")[0] == "worker"
    assert any("get 100/s" in line for line in told)
    assert told[-1] == "missing   where the time goes: takes `--requests`"


def test_each_kind_of_request_that_is_left_out_has_a_line() -> None:
    many = RequestMisses(*(1_234_567,) * 6, 0, 0, 0)
    told = lines(replace(INTERVAL, ports=(11211, 11212), misses=many))
    assert told[0].startswith("port 11211, 11212   ")
    assert told[1] == "left out   1.23 M not seen whole"
    assert told[2] == "           1.23 M of workers beyond 256"
    assert told[7] == ""
    assert lines(replace(INTERVAL, misses=RequestMisses(*(0,) * 9)))[1] == "left out   0"


def test_a_quota_that_throttled_nothing_is_told_from_an_unknown_one() -> None:
    for throttled_ns, words in ((0, "not throttled by a CPU quota"), (None, "CPU quota unknown")):
        told = lines(replace(INTERVAL, host=Host(0.0, throttled_ns, 0, {})))
        assert f"host   steal 0 %   {words}" in told


def test_an_interval_without_length_has_no_rates() -> None:
    server = ObservedServer(11211, 812, (THREAD,), {"cmd_get": 100})
    assert lines(replace(INTERVAL, interval_s=0.0))[0].endswith("0/s")
    assert any(
        "get 0/s" in line
        for line in lines(
            replace(INTERVAL, interval_s=0.0, account=None, misses=None, servers=(server,))
        )
    )


def test_names_of_tasks_cannot_steer_the_terminal() -> None:
    hostile = replace(INTERVAL.culprits[0], task="\x1b[2J", cgroup="/\u202e")
    told = "\n".join(lines(replace(INTERVAL, culprits=(hostile,))))
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_a_worker_whose_states_are_not_known_has_none() -> None:
    told = lines(replace(INTERVAL, workers=(replace(INTERVAL.workers[0], states_ns={}),)))
    assert row(told, "mc-worker 813")[5:9] == ["0", "%", "0", "%"]
