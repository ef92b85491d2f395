"""Intervals ↔ the rows of a profile, and several intervals summed to one."""

from __future__ import annotations

from dataclasses import replace

import membench
from membench import Culprit, Host, ObservedServer, ServerThread, SlowRequest, TcpEvents, Verdict
from membench._observe.results import PARTS
from membench._observe.tables import INTERVALS, TABLES, StoredRows, from_rows, to_rows
from membench._observe.total import Total
from unit.test_change_causes import interval

START_NS = 5_000_000_000
PARTS_OF_ONE = dict.fromkeys(PARTS, 0) | {"stopped": 3_000_000}
SLOW = SlowRequest(
    time_ns=1_500_000_000,
    began_s=0.5,
    whole_ns=3_000_000,
    parts_ns=PARTS_OF_ONE,
    client="10.0.0.1:9",
    port=11211,
    process=812,
    thread=813,
    name="mc-worker",
    command="get",
    answer="VALUE",
    request_bytes=7,
    answer_bytes=9,
)
STATES = (
    *("running", "run_queue_woken", "run_queue_preempted", "idle", "lock", "page_fault"),
    *("stopped", "kernel_wait", "other_sleep"),
)
THREAD = ServerThread(813, "mc-worker", "worker", 5, 6, 7, 8, 9, 1)
FULL = replace(
    interval({"memcached": 20, "run_queue_woken": 5}, (Culprit("hog", 7, None, 5000, 2, 1.0),)),
    elapsed_s=1.0,
    workers=(membench.Worker(812, 813, "mc-worker", 1000, 9, 8, 7, dict.fromkeys(STATES, 5)),),
    verdicts=(Verdict("a cause", "neighbours", {"share": 0.5}),),
    slow=(SLOW,),
    slow_requests=1,
    servers=(ObservedServer(11211, 812, (THREAD,), {"cmd_get": 5}, counted_s=1.25),),
    host=Host(0.25, None, 0, {"cpu": 0.5}),
    cost_ns_per_request=61.5,
    cpu_share=0.25,
    tier=2,
    tcp_events=TcpEvents(3, 0, 1),
)


def stored(*intervals: membench.ObserveInterval) -> list[membench.ObserveInterval]:
    """Write intervals as rows, and read these as a profile's."""
    columns: dict[str, list[dict[str, list[object]]]] = {}
    for one in intervals:
        for table, rows in to_rows(one, START_NS).items():
            names = dict.fromkeys(name for row in rows for name in row)
            batch = {name: [row.get(name) for row in rows] for name in names}
            batch["time"] = [time // 1000 for time in batch["time"]]  # type: ignore[operator]
            columns.setdefault(table, []).append(batch)
    read = {
        table: StoredRows(map(Missing, columns.get(table, []))) for table in (INTERVALS, *TABLES)
    }
    return list(from_rows(read[INTERVALS], read, START_NS // 1000))


class Missing(dict[str, list[object]]):
    """Columns, with those that no row has: a stored table has all."""

    def __init__(self, columns: dict[str, list[object]]) -> None:
        """Add columns that are empty."""
        from membench._observe import tables  # noqa: PLC0415 - its names

        rows = len(columns["time"])
        names = [f"missed_{name}" for name in tables._MISSES]
        names += ["requests", "whole", "waited", "waited_briefly", "waited_for_unknown"]
        names += ["slow_requests", "slow_unread", *tables._QUANTILES, *tables._TCP]
        super().__init__({name: [None] * rows for name in names} | columns)


def test_an_interval_comes_back_as_it_was_but_for_addresses() -> None:
    (found,) = stored(FULL)
    address_less = replace(SLOW, client="", time_ns=(START_NS + 500_000_000))
    assert replace(found, slow=()) == replace(FULL, slow=())
    assert found.slow == (address_less,)


def test_rows_of_several_intervals_are_told_apart() -> None:
    plain = replace(
        interval({"memcached": 20}), account=None, misses=None, elapsed_s=2.0, workers=()
    )
    plain = replace(plain, waited_ns=None, waited_briefly_ns=None, waited_for_unknown_ns=None)
    plain = replace(plain, slow_requests=None, ports=())
    assert plain.tcp_events is None
    later = replace(FULL, elapsed_s=3.0, slow=())
    first, second, third = stored(FULL, plain, later)
    assert second == plain
    assert second.account is None
    assert (len(first.slow), len(third.slow)) == (1, 0)
    assert third == later


def test_intervals_sum_to_one_that_covers_all() -> None:
    total = Total()
    assert total.finish() is None
    total.add(FULL)
    total.add(replace(FULL, elapsed_s=2.0, host=Host(0.75, 8, 1, {"cpu": 1.0})))
    found = total.finish()
    assert found is not None
    assert found.account is not None
    assert FULL.account is not None
    assert found.account.requests == 2 * FULL.account.requests
    assert sum(found.account.parts_ns.values()) == found.account.whole_ns
    assert found.account.quantiles["memcached"] == FULL.account.quantiles["memcached"]
    assert found.interval_s == 2.0
    assert found.host == Host(0.5, 8, 1, {"cpu": 0.75})
    (server,) = found.servers
    assert server.counters == {"cmd_get": 10}
    assert server.threads[0].cpu_ns == 2 * THREAD.cpu_ns
    (culprit,) = found.culprits
    assert (culprit.time_ns, culprit.waits, culprit.share) == (10_000, 4, 1.0)
    assert len(found.slow) == 2
    assert found.cpu_share == 0.25
    assert found.tcp_events == TcpEvents(6, 0, 2)
    # The causes are judged anew, from all of it.
    assert [one.rule for one in found.verdicts] == ["steal", "retransmits"]


def test_an_account_is_kept_if_the_last_interval_has_none() -> None:
    total = Total()
    total.add(FULL)
    total.add(replace(FULL, account=None, slow_requests=None, tier=0))
    found = total.finish()
    assert found is not None
    assert found.account is not None
    assert FULL.account is not None
    assert found.account.requests == FULL.account.requests
    assert found.slow_requests == FULL.slow_requests


def test_overflows_of_accept_queues_are_a_cause_of_the_whole() -> None:
    total = Total()
    counted = Host(0.0, None, 0, {}, {"ListenOverflows": 2}, 3)
    total.add(replace(FULL, host=counted))
    total.add(replace(FULL, host=counted))
    found = total.finish()
    assert found is not None
    assert (found.host.tcp, found.host.reclaims) == ({"ListenOverflows": 4}, 6)
    (verdict,) = [one for one in found.verdicts if one.rule == "accept-queue"]
    assert verdict.evidence == {"overflows": 4.0}
    assert "was full 4 times →" in verdict.text
