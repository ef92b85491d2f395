"""Intervals of an observation ↔ the rows that a profile stores of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from membench._observe.observe import REQUESTS, WITHOUT_PRIVILEGES, ObserveInterval
from membench._observe.results import (
    PARTS,
    Account,
    Culprit,
    Host,
    ObservedServer,
    PartTimes,
    RequestMisses,
    ServerThread,
    SlowRequest,
    TcpEvents,
    Verdict,
    Worker,
)

INTERVALS = "observe-intervals"
_QUANTILES = ("p50", "p90", "p99", "p999", "max")
_STATES = (
    *("running", "run_queue_woken", "run_queue_preempted", "idle", "lock", "page_fault"),
    *("disk", "stopped", "kernel_wait", "other_sleep"),
)
_MISSES = (
    *("runs", "broken", "unseen", "unlisted", "moved", "no_state", "unanswered", "continued"),
    "untold_switches",
)
_TCP = ("retransmits", "resets_sent", "resets_received")
_RESOURCES = ("cpu", "memory", "io")
#: Tables besides that of the intervals.
TABLES = tuple(
    f"observe-{name}"
    for name in ("parts", "culprits", "workers", "verdicts", "slow", "threads", "counters")
)

Row = dict[str, Any]
Rows = dict[str, list[Row]]


def to_rows(interval: ObserveInterval, began_ns: int) -> Rows:
    """Return the rows of an interval; those of empty tables are left out.

    Args:
        interval: The interval.
        began_ns: Begin of the observation on the monotonic clock, ns.
    """
    length = round(interval.interval_s * 1e9)
    time = began_ns + round(interval.elapsed_s * 1e9) - length
    found = {
        INTERVALS: [_interval(interval, length)],
        "observe-parts": list(_parts(interval.account)),
        "observe-culprits": [
            {"task": one.task, "process": one.process, "cgroup": one.cgroup}
            | {"waited": one.time_ns, "waits": one.waits, "share": one.share}
            for one in interval.culprits
        ],
        "observe-workers": [
            {"process": one.process, "thread": one.thread, "name": one.name}
            | {"requests": one.requests, "whole": one.whole_ns}
            | {"reads": one.reads, "wake_ups": one.wake_ups}
            | {state: one.states_ns.get(state) for state in _STATES}
            for one in interval.workers
        ],
        "observe-verdicts": [
            {"rule": one.rule, "text": one.text, "evidence": json.dumps(dict(one.evidence))}
            for one in interval.verdicts
        ],
        "observe-threads": [
            {"port": server.port, "process": server.process, "thread": one.thread}
            | {"name": one.name, "role": one.role}
            | _growth(one)
            for server in interval.servers
            for one in server.threads
        ],
        "observe-counters": [
            {"port": server.port, "process": server.process, "counter": name, "growth": growth}
            | {"span": None if server.counted_s is None else round(server.counted_s * 1e9)}
            for server in interval.servers
            for name, growth in server.counters.items()
        ],
    }
    for rows in found.values():
        for row in rows:
            row["time"] = time
    # A slow request has a time of its own.
    found["observe-slow"] = [_slow(one, began_ns) for one in interval.slow]
    return {table: rows for table, rows in found.items() if rows}


def _interval(interval: ObserveInterval, length: int) -> Row:
    account, misses, host = interval.account, interval.misses, interval.host
    row: Row = {"length": length, "steal": host.steal, "throttled": host.throttled_ns}
    row |= {"periods_throttled": host.periods_throttled}
    row |= {f"pressure_{name}": host.pressure.get(name) for name in _RESOURCES}
    row |= {"cost": interval.cost_ns_per_request, "cpu_share": interval.cpu_share}
    if account is not None:
        row |= {"requests": account.requests, "whole": account.whole_ns}
        row |= {"waited": interval.waited_ns, "waited_briefly": interval.waited_briefly_ns}
        row |= {"waited_for_unknown": interval.waited_for_unknown_ns}
        row |= {"slow_requests": interval.slow_requests, "slow_unread": interval.slow_unread}
    if interval.tcp_events is not None:
        row |= {name: getattr(interval.tcp_events, name) for name in _TCP}
    if misses is not None:
        row |= {f"missed_{name}": getattr(misses, name) for name in _MISSES}
    return row


def _parts(account: Account | None) -> Iterator[Row]:
    if account is None:
        return
    for part, total in {**account.parts_ns, "whole": account.whole_ns}.items():
        times = account.quantiles.get(part)
        if total or times is not None:
            row: Row = {"part": part, "total": total}
            if times is not None:
                row |= {name: getattr(times, f"{name}_ns") for name in _QUANTILES}
            yield row


def _growth(thread: ServerThread) -> Row:
    """Return what a thread did; nothing that shrank, as where its number was given anew."""
    grown = {"cpu": thread.cpu_ns, "waited": thread.waited_ns, "sleeps": thread.sleeps}
    grown |= {"preemptions": thread.preemptions}
    grown |= {"minor_faults": thread.minor_faults, "major_faults": thread.major_faults}
    return {name: max(amount, 0) for name, amount in grown.items()}


def _slow(slow: SlowRequest, began_ns: int) -> Row:
    # The client's address stays out: a profile holds none.
    return {
        "time": began_ns + round(slow.began_s * 1e9),
        "whole": slow.whole_ns,
        "port": slow.port,
        "process": slow.process,
        "thread": slow.thread,
        "name": slow.name,
        "command": slow.command,
        "answer": slow.answer,
        "request_bytes": slow.request_bytes,
        "answer_bytes": slow.answer_bytes,
    } | {part: slow.parts_ns.get(part, 0) for part in PARTS}


class StoredRows:
    """The rows of one table, in the order in which they were written, an interval at a time."""

    def __init__(self, columns: Iterator[Mapping[str, list[Any]]]) -> None:
        """Read a table from batches of columns."""
        self._rows = _rows(columns)
        self._next = next(self._rows, None)

    def at(self, time_us: int) -> list[Row]:
        """Return the rows of the interval that began at a time; earlier ones are passed over."""
        return self.until(time_us + 1, time_us)

    def until(self, end_us: int, begin_us: int | None = None) -> list[Row]:
        """Return the next rows from before `end_us`, but for those from before `begin_us`."""
        found = []
        while self._next is not None and self._next["time"] < end_us:
            if begin_us is None or self._next["time"] >= begin_us:
                found.append(self._next)
            self._next = next(self._rows, None)
        return found

    def __iter__(self) -> Iterator[Row]:
        """Yield the rest."""
        while self._next is not None:
            row, self._next = self._next, next(self._rows, None)
            yield row


def _rows(columns: Iterator[Mapping[str, list[Any]]]) -> Iterator[Row]:
    for batch in columns:
        names = list(batch)
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(names, values, strict=True))


def from_rows(
    intervals: StoredRows, tables: Mapping[str, StoredRows], start_us: int
) -> Iterator[ObserveInterval]:
    """Yield the intervals that a profile stores.

    Args:
        intervals: The table of intervals.
        tables: The other tables by name.
        start_us: Start of the recording, UTC, µs since 1970.
    """
    for row in intervals:
        time = row["time"]
        of = {name: tables[name].at(time) for name in TABLES if name != "observe-slow"}
        end = time + row["length"] // 1000
        slow = tables["observe-slow"].until(end)
        yield _stored(row, of, slow, start_us)


def _stored(
    row: Row, of: Mapping[str, list[Row]], slow: list[Row], start_us: int
) -> ObserveInterval:
    length_s = row["length"] / 1e9
    servers = tuple(_servers(of["observe-threads"], of["observe-counters"]))
    return ObserveInterval(
        ports=tuple(sorted({server.port for server in servers})),
        elapsed_s=(row["time"] - start_us) / 1e6 + length_s,
        interval_s=length_s,
        account=_account(row, of["observe-parts"]),
        verdicts=tuple(
            Verdict(one["text"], one["rule"], _evidence(one["evidence"]))
            for one in of["observe-verdicts"]
        ),
        culprits=tuple(
            Culprit(
                one["task"],
                one["process"],
                one["cgroup"],
                one["waited"],
                one["waits"],
                one["share"],
            )
            for one in of["observe-culprits"]
        ),
        waited_ns=row["waited"],
        waited_briefly_ns=row["waited_briefly"],
        waited_for_unknown_ns=row["waited_for_unknown"],
        workers=tuple(_worker(one) for one in of["observe-workers"]),
        slow=tuple(sorted((_stored_slow(one, start_us) for one in slow), key=_longest)),
        slow_requests=row["slow_requests"],
        slow_unread=row["slow_unread"] or 0,
        servers=servers,
        host=_host(row),
        misses=None
        if row["missed_runs"] is None
        else RequestMisses(**{name: row[f"missed_{name}"] or 0 for name in _MISSES}),
        cost_ns_per_request=row["cost"],
        cpu_share=row["cpu_share"],
        missing=(),
        tier=WITHOUT_PRIVILEGES if row["requests"] is None else REQUESTS,
        tcp_events=None
        if row["retransmits"] is None
        else TcpEvents(**{name: row[name] or 0 for name in _TCP}),
    )


def _evidence(text: str) -> dict[str, float]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: float(value) for name, value in found.items() if type(value) in (int, float)}


def _account(row: Row, parts: list[Row]) -> Account | None:
    if row["requests"] is None:
        return None
    quantiles = {
        one["part"]: PartTimes(*(one[name] or 0 for name in _QUANTILES))
        for one in parts
        if one["p50"] is not None
    }
    times = {one["part"]: one["total"] for one in parts if one["part"] != "whole"}
    return Account(row["requests"], row["whole"] or 0, dict.fromkeys(PARTS, 0) | times, quantiles)


def _worker(row: Row) -> Worker:
    return Worker(
        process=row["process"],
        thread=row["thread"],
        name=row["name"],
        requests=row["requests"],
        whole_ns=row["whole"],
        reads=row["reads"],
        wake_ups=row["wake_ups"],
        states_ns={state: row[state] for state in _STATES if row[state] is not None},
    )


def _host(row: Row) -> Host:
    pressure = {name: row[f"pressure_{name}"] for name in _RESOURCES}
    return Host(
        steal=row["steal"],
        throttled_ns=row["throttled"],
        periods_throttled=row["periods_throttled"],
        pressure={name: share for name, share in pressure.items() if share is not None},
    )


def _stored_slow(row: Row, start_us: int) -> SlowRequest:
    return SlowRequest(
        time_ns=row["time"] * 1000,
        began_s=(row["time"] - start_us) / 1e6,
        whole_ns=row["whole"],
        parts_ns={part: row[part] or 0 for part in PARTS},
        client="",
        port=row["port"],
        process=row["process"],
        thread=row["thread"],
        name=row["name"],
        command=row["command"],
        answer=row["answer"],
        request_bytes=row["request_bytes"],
        answer_bytes=row["answer_bytes"],
    )


def _longest(slow: SlowRequest) -> int:
    return -slow.whole_ns


def _servers(threads: list[Row], counters: list[Row]) -> Iterator[ObservedServer]:
    found: dict[tuple[int, int | None], tuple[list[ServerThread], dict[str, int]]] = {}
    spans: dict[tuple[int, int | None], float] = {}
    for row in threads:
        of, _ = found.setdefault((row["port"], row["process"]), ([], {}))
        names = (*("thread", "name", "role", "sleeps", "preemptions"), "minor_faults")
        of.append(
            ServerThread(
                cpu_ns=row["cpu"],
                waited_ns=row["waited"],
                major_faults=row["major_faults"],
                **{name: row[name] for name in names},
            )
        )
    for row in counters:
        _, growth = found.setdefault((row["port"], row["process"]), ([], {}))
        growth[row["counter"]] = row["growth"]
        if row["span"] is not None:
            spans[row["port"], row["process"]] = row["span"] / 1e9
    for place, (of, growth) in found.items():
        yield ObservedServer(*place, tuple(of), growth, counted_s=spans.get(place))
