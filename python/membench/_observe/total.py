"""Intervals of an observation → one, which covers all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, fields, replace

from membench._observe.observe import ObserveInterval
from membench._observe.results import (
    PARTS,
    Account,
    Counted,
    Culprit,
    Host,
    ObservedServer,
    PartTimes,
    RequestMisses,
    ServerThread,
    SlowRequest,
    TcpEvents,
    Worker,
)
from membench._observe.verdicts import judge, judge_tcp, with_tcp

# Tasks that are kept apart, and slow requests.
_MOST_CULPRITS = 1000
_MOST_SLOW = 100
_QUANTILES = ("p50_ns", "p90_ns", "p99_ns", "p999_ns")
_MISSES = tuple(field.name for field in fields(RequestMisses))
_GROWING = ("cpu_ns", "waited_ns", "sleeps", "preemptions", "minor_faults", "major_faults")


class Total:
    """Sums of intervals.

    Memory does not grow with their number, but with that of the threads of servers that are started
    again. Tasks and slow requests are kept up to a limit.

    Quantiles cannot be summed: those of the account are means over the intervals, weighted by their
    requests. The longest time is that of all.
    """

    def __init__(self) -> None:
        """Begin with no interval."""
        self._first: ObserveInterval | None = None
        self._last: ObserveInterval | None = None
        self._length_s = 0.0
        self._requests = self._whole_ns = 0
        self._parts: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        self._misses: Counter[str] = Counter()
        self._tcp: Counter[str] | None = None
        self._culprits: dict[tuple[str, int, str | None], tuple[int, int]] = {}
        self._workers: dict[tuple[int, int], Worker] = {}
        self._threads: dict[tuple[int, int | None, int], ServerThread] = {}
        self._counters: dict[tuple[int, int | None], Counter[str]] = {}
        self._counted_s: dict[tuple[int, int | None], float] = {}
        self._slow: list[SlowRequest] = []
        self._hosts: list[float] = [0.0, 0.0]
        self._throttled: int | None = None
        self._periods = 0
        self._host_tcp: Counter[str] = Counter()
        self._reclaims: int | None = None
        self._pressure: Counter[str] = Counter()
        self._spent_ns: float | None = None
        self._quantiles: dict[str, Counter[str]] = {}
        self._longest: Counter[str] = Counter()

    def add(self, interval: ObserveInterval) -> None:
        """Add an interval."""
        self._first = self._first or interval
        self._last = interval
        self._length_s += interval.interval_s
        account = interval.account
        if account is not None:
            self._requests += account.requests
            self._whole_ns += account.whole_ns
            self._parts.update(account.parts_ns)
            self._add_quantiles(account)
        for name in ("waited_ns", "waited_briefly_ns", "waited_for_unknown_ns", "slow_requests"):
            if (amount := getattr(interval, name)) is not None:
                self._waits[name] += amount
        self._waits["slow_unread"] += interval.slow_unread
        if interval.tcp_events is not None:
            self._tcp = self._tcp or Counter()
            self._tcp.update(asdict(interval.tcp_events))
        if interval.misses is not None:
            self._misses.update({name: getattr(interval.misses, name) for name in _MISSES})
        self._add_tasks(interval)
        self._add_servers(interval)
        self._add_host(interval.host, interval.interval_s)
        if interval.cpu_share is not None:
            self._spent_ns = (
                self._spent_ns or 0.0
            ) + interval.cpu_share * interval.interval_s * 1e9

    def _add_quantiles(self, account: Account) -> None:
        for part, times in account.quantiles.items():
            sums = self._quantiles.setdefault(part, Counter())
            for name in _QUANTILES:
                sums[name] += getattr(times, name) * account.requests
            self._longest[part] = max(self._longest[part], times.max_ns)

    def _mean_quantiles(self) -> dict[str, PartTimes]:
        requests = max(self._requests, 1)
        return {
            part: PartTimes(
                **{name: round(sums[name] / requests) for name in _QUANTILES},
                max_ns=self._longest[part],
            )
            for part, sums in self._quantiles.items()
        }

    def _add_tasks(self, interval: ObserveInterval) -> None:
        for one in interval.culprits:
            key = (one.task, one.process, one.cgroup)
            time, waits = self._culprits.get(key, (0, 0))
            self._culprits[key] = (time + one.time_ns, waits + one.waits)
        if len(self._culprits) > 2 * _MOST_CULPRITS:
            longest = sorted(self._culprits.items(), key=lambda item: -item[1][0])
            self._culprits = dict(longest[:_MOST_CULPRITS])
        for worker in interval.workers:
            known = self._workers.get((worker.process, worker.thread))
            self._workers[worker.process, worker.thread] = _worker(known, worker)
        self._slow += interval.slow
        if len(self._slow) > 2 * _MOST_SLOW:
            self._keep_slowest()

    def _keep_slowest(self) -> None:
        self._slow = sorted(self._slow, key=lambda slow: -slow.whole_ns)[:_MOST_SLOW]

    def _add_servers(self, interval: ObserveInterval) -> None:
        for server in interval.servers:
            place = (server.port, server.process)
            self._counters.setdefault(place, Counter()).update(server.counters)
            self._counted_s[place] = self._counted_s.get(place, 0) + (server.counted_s or 0)
            for thread in server.threads:
                key = (*place, thread.thread)
                self._threads[key] = _thread(self._threads.get(key), thread)

    def _add_host(self, host: Host, length_s: float) -> None:
        self._hosts[0] += host.steal * length_s
        self._hosts[1] += length_s
        if host.throttled_ns is not None:
            self._throttled = (self._throttled or 0) + host.throttled_ns
        self._periods += host.periods_throttled
        self._host_tcp.update(host.tcp)
        if host.reclaims is not None:
            self._reclaims = (self._reclaims or 0) + host.reclaims
        for name, share in host.pressure.items():
            self._pressure[name] += share * length_s  # type: ignore[assignment]  # times, s

    def finish(self) -> ObserveInterval | None:
        """Return one interval that covers all; None if there was none."""
        first, last = self._first, self._last
        if first is None or last is None:
            return None
        host = self._host()
        servers = tuple(self._servers())
        whole = replace(
            last,
            ports=tuple(sorted({server.port for server in servers} | set(first.ports))),
            interval_s=self._length_s,
            verdicts=(),
            slow=self._slowest(),
            servers=servers,
            host=host,
            cpu_share=self._cpu_share(),
            # These are of the last interval alone.
            commands=None,
            connections=None,
            tcp_events=self._tcp_events(),
            stepped_down=None,
        )
        if not self._parts and last.account is None:
            return whole
        counted = self._counted(whole)
        processes = {worker.process for worker in counted.workers}
        processes |= {server.process for server in servers if server.process is not None}
        return replace(
            whole,
            account=counted.account,
            verdicts=with_tcp(
                judge(counted, host, frozenset(processes)),
                judge_tcp(servers, host, whole.tcp_events, self._requests),
            ),
            culprits=counted.culprits,
            waited_ns=counted.waited_ns,
            waited_briefly_ns=counted.waited_briefly_ns,
            waited_for_unknown_ns=counted.waited_for_unknown_ns,
            workers=counted.workers,
            slow_requests=counted.slow_requests,
            slow_unread=counted.slow_unread,
            misses=counted.misses,
            cost_ns_per_request=counted.cost_ns_per_request,
        )

    def _counted(self, whole: ObserveInterval) -> Counted:
        waited = self._waits["waited_ns"]
        culprits = [
            Culprit(task, process, group, time, waits, time / waited if waited else 0.0)
            for (task, process, group), (time, waits) in self._culprits.items()
        ]
        cost = self._spent_ns / self._requests if self._spent_ns and self._requests else None
        return Counted(
            elapsed_s=whole.elapsed_s,
            interval_s=self._length_s,
            account=Account(
                requests=self._requests,
                whole_ns=self._whole_ns,
                parts_ns=dict.fromkeys(PARTS, 0) | dict(self._parts),
                quantiles=self._mean_quantiles(),
            ),
            culprits=tuple(sorted(culprits, key=lambda one: -one.time_ns)),
            waited_ns=waited,
            waited_briefly_ns=self._waits["waited_briefly_ns"],
            waited_for_unknown_ns=self._waits["waited_for_unknown_ns"],
            workers=tuple(sorted(self._workers.values(), key=lambda one: -one.requests)),
            commands=None,
            connections=None,
            tcp_events=self._tcp_events() or TcpEvents(0, 0, 0),
            slow=whole.slow,
            slow_requests=self._waits.get("slow_requests"),
            slow_unread=self._waits["slow_unread"],
            misses=RequestMisses(**{name: self._misses[name] for name in _MISSES}),
            cost_ns_per_request=cost,
            cpu_share=self._cpu_share(),
        )

    def _tcp_events(self) -> TcpEvents | None:
        return None if self._tcp is None else TcpEvents(**self._tcp)

    def _slowest(self) -> tuple[SlowRequest, ...]:
        self._keep_slowest()
        return tuple(self._slow)

    def _cpu_share(self) -> float | None:
        is_known = self._spent_ns is not None and self._length_s > 0
        return (self._spent_ns or 0.0) / 1e9 / self._length_s if is_known else None

    def _host(self) -> Host:
        stolen, length_s = self._hosts
        return Host(
            steal=stolen / length_s if length_s else 0.0,
            throttled_ns=self._throttled,
            periods_throttled=self._periods,
            pressure={
                name: waited / length_s if length_s else 0.0
                for name, waited in self._pressure.items()
            },
            tcp=dict(self._host_tcp),
            reclaims=self._reclaims,
        )

    def _servers(self) -> list[ObservedServer]:
        places = dict.fromkeys((*self._counters, *((one[0], one[1]) for one in self._threads)))
        found = []
        for place in places:
            threads = [one for key, one in self._threads.items() if key[:2] == place]
            threads.sort(key=lambda thread: (-thread.cpu_ns, thread.thread))
            counters = dict(self._counters.get(place, {}))
            found.append(
                ObservedServer(
                    *place,
                    threads=tuple(threads),
                    counters=counters,
                    counted_s=self._counted_s.get(place) or None,
                )
            )
        return found


def _worker(known: Worker | None, one: Worker) -> Worker:
    if known is None:
        return one
    states, parts = Counter(known.states_ns), Counter(known.parts_ns)
    states.update(one.states_ns)
    parts.update(one.parts_ns)
    return replace(
        one,
        requests=known.requests + one.requests,
        whole_ns=known.whole_ns + one.whole_ns,
        reads=known.reads + one.reads,
        wake_ups=known.wake_ups + one.wake_ups,
        states_ns=dict(states),
        parts_ns=dict(parts),
        # Quantiles cannot be summed.
        quantiles={},
    )


def _thread(known: ServerThread | None, one: ServerThread) -> ServerThread:
    if known is None:
        return one
    return replace(one, **{name: getattr(known, name) + getattr(one, name) for name in _GROWING})
