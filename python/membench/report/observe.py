"""Intervals of an observation → text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import fsum

from rich.console import Group, RenderableType
from rich.text import Text

from membench._observe.beside import ObservedBeside
from membench._observe.observe import ObserveInterval
from membench._observe.results import (
    PARTS,
    Account,
    BusyConnections,
    CommandRequests,
    Host,
    ObservedServer,
    PartTimes,
    RequestMisses,
    SlowRequest,
    TcpHealth,
    Worker,
)
from membench.report.columns import Columns
from membench.report.numbers import clock, count, duration, numbered, percent, rate
from membench.report.plain import plain_result

_WORKERS = 8
_CULPRITS = 5
_THREADS = 8
_SLOW = 10
_CONNECTIONS = 10
_NOTHING = "–"  # noqa: RUF001 - a dash
# What people read for each part.
PART_NAMES = {
    "wake_up": "until the worker is woken",
    "accept": "first request: accept, hand over",
    "run_queue_woken": "waits for a CPU, woken",
    "run_queue_preempted": "waits for a CPU, preempted",
    "ahead": "behind other requests",
    "read": "wakes up and reads",
    "memcached": "memcached's own",
    "send": "sends",
    "parked": "set aside by memcached",
    "lock": "waits for memcached's lock",
    "page_fault": "waits for memory",
    "disk": "waits for a disk",
    "stopped": "stopped",
    "kernel_wait": "waits in the kernel",
    "other_sleep": "sleeps otherwise",
    "unexplained": "unexplained",
}
# What each tier observes.
_TIERS = (
    "0: what takes no privilege",
    "1: also rare events of TCP",
    "2: also each request",
)


def render_interval(interval: ObserveInterval, *, by_worker: bool = False) -> RenderableType:
    """Lay out an interval: the account, its causes, who had the CPU, the threads, the cost."""
    interval = plain_result(interval)
    parts: list[RenderableType] = [_title(interval)]
    if interval.misses is not None:
        parts += _misses(interval.misses)
    if interval.account is not None:
        parts += _requests(interval, interval.account, by_worker)
    else:
        for server in interval.servers:
            parts += [Text(), *_server(server, interval.interval_s)]
        if interval.verdicts:
            parts += [Text(), *_verdicts(interval)]
    parts += [Text(), *_footer(interval)]
    return Group(*parts)


def _requests(
    interval: ObserveInterval, account: Account, by_worker: bool
) -> Iterator[RenderableType]:
    """Lay out what `--requests` tells: an empty line before each table."""
    if account.requests:
        yield from (Text(), account_table(account))
    yield Text()
    yield from _verdicts(interval)
    if interval.culprits:
        yield from (Text(), culprit_table(interval))
    if interval.workers:
        yield from (Text(), worker_table(interval))
    if by_worker and account.requests:
        yield from (Text(), _by_worker(interval))
    if interval.commands:
        yield from (Text(), _by_command(interval.commands))
    if interval.connections is not None and interval.connections.busiest:
        yield from (Text(), _by_connection(interval.connections))
    if interval.slow_requests or interval.slow:
        yield from (Text(), _slow(interval))


def _verdicts(interval: ObserveInterval) -> Iterator[Text]:
    yield from (Text(f"→ {verdict.text}") for verdict in interval.verdicts)


def _title(interval: ObserveInterval) -> Text:
    ports = ", ".join(str(port) for port in interval.ports)
    begin = f"port {ports}   {clock(interval.elapsed_s)}"
    account = interval.account
    if account is None:
        return Text(begin)
    requests = numbered(account.requests, "request")
    return Text(f"{begin}   {requests}   {_per_s(account.requests, interval.interval_s)}")


def _per_s(amount: int, interval_s: float) -> str:
    return rate(amount / interval_s if interval_s > 0 else 0)


def _share(time_ns: int, interval_s: float) -> str:
    """Write a time as a share of the interval."""
    return percent(time_ns / 1e9 / interval_s if interval_s > 0 else 0)


def _misses(misses: RequestMisses) -> Iterator[Text]:
    """Tell each kind of request that was left out on a line of its own."""
    amounts = {
        "not seen whole": misses.broken,
        "of workers beyond 256": misses.unlisted,
        "read and answered by two threads": misses.moved,
        "without memory": misses.no_state,
        "without a known arrival": misses.unseen,
        "skipped runs": misses.runs,
    }
    told = [f"{count(amount)} {what}" for what, amount in amounts.items() if amount] or ["0"]
    for number, text in enumerate(told):
        yield Text(f"{'left out' if number == 0 else '':8}   {text}")


def account_table(account: Account) -> RenderableType:
    """Lay out an account, part by part."""
    table = Columns("part of the time", "share", "mean", "p50", "p99", "p99.9", "max")
    for part in PARTS:
        time = account.parts_ns.get(part, 0)
        if time or part == "unexplained":
            table.add(*_times(PART_NAMES[part], time, account, account.quantiles.get(part)))
    table.add(*_times("the whole", account.whole_ns, account, account.quantiles.get("whole")))
    return table


def _times(name: str, time: int, account: Account, times: PartTimes | None) -> Iterator[str]:
    yield name
    yield percent(time / account.whole_ns if account.whole_ns else 0)
    yield duration(time / account.requests)
    quantiles = () if times is None else (times.p50_ns, times.p99_ns, times.p999_ns, times.max_ns)
    yield from (duration(quantile) for quantile in quantiles)
    yield from [_NOTHING] * (4 - len(quantiles))


def culprit_table(interval: ObserveInterval) -> RenderableType:
    """Lay out who had the CPU while a worker waited for it."""
    culprits, waited = interval.culprits, interval.waited_ns or 0
    table = Columns("had the CPU while a worker waited", "share", "time", "waits")
    for culprit in culprits[:_CULPRITS]:
        group = f"  {culprit.cgroup}" if culprit.cgroup not in {None, "/"} else ""
        process = f" {culprit.process}" if culprit.process else ""
        name = f"{culprit.task}{process}{group}"
        table.add(name, percent(culprit.share), duration(culprit.time_ns), count(culprit.waits))
    if len(culprits) > _CULPRITS:
        rest = culprits[_CULPRITS:]
        table.add(
            f"{len(rest):,} more",
            percent(fsum(culprit.share for culprit in rest)),
            duration(sum(culprit.time_ns for culprit in rest)),
            count(sum(culprit.waits for culprit in rest)),
        )
    aside = {
        "waits below 2 µs": interval.waited_briefly_ns,
        "tasks that are not known": interval.waited_for_unknown_ns,
    }
    for name, time in aside.items():
        if time:
            table.add(name, percent(time / waited if waited else 0), duration(time), _NOTHING)
    table.add("all waits of workers", percent(1.0), duration(waited), _NOTHING)
    return table


def worker_table(interval: ObserveInterval) -> RenderableType:
    """Lay out the workers, the busiest first."""
    table = Columns("worker", "requests", "share", "mean", "runs", "waits", "per wake-up")
    requests = sum(worker.requests for worker in interval.workers)
    for worker in interval.workers[:_WORKERS]:
        table.add(*_worker(worker, requests, interval.interval_s))
    if len(interval.workers) > _WORKERS:
        table.add(f"{len(interval.workers) - _WORKERS:,} more", "", "", "", "", "", "")
    return table


def _worker(worker: Worker, requests: int, interval_s: float) -> Iterator[str]:
    # A profile may lack a state.
    states = worker.states_ns
    waited = states.get("run_queue_woken", 0) + states.get("run_queue_preempted", 0)
    yield f"{worker.name} {worker.thread}"
    yield count(worker.requests)
    yield percent(worker.requests / requests if requests else 0)
    yield duration(worker.whole_ns / worker.requests) if worker.requests else _NOTHING
    yield _share(states.get("running", 0), interval_s)
    yield _share(waited, interval_s)
    yield f"{worker.requests / worker.wake_ups:.1f}" if worker.wake_ups else _NOTHING


def _by_worker(interval: ObserveInterval) -> RenderableType:
    table = Columns("worker", "requests", "p50", "p99", "max", "most of it")
    for worker in interval.workers[:_WORKERS]:
        if worker.requests:
            name = f"{worker.name} {worker.thread}"
            whole = worker.quantiles.get("whole")
            table.add(*_group(name, worker.requests, whole, worker.parts_ns))
    return table


def _by_command(commands: Sequence[CommandRequests]) -> RenderableType:
    table = Columns("command", "requests", "p50", "p99", "max", "most of it")
    for one in commands:
        account = one.account
        whole = account.quantiles.get("whole")
        table.add(*_group(one.command, account.requests, whole, account.parts_ns))
    return table


def _group(
    name: str, requests: int, whole: PartTimes | None, parts_ns: Mapping[str, int]
) -> Iterator[str]:
    yield name
    yield count(requests)
    yield from _whole(whole)
    yield _most(parts_ns)


def _whole(times: PartTimes | None) -> Iterator[str]:
    if times is None:
        yield from [_NOTHING] * 3
        return
    yield from (duration(time) for time in (times.p50_ns, times.p99_ns, times.max_ns))


def _most(parts_ns: Mapping[str, int]) -> str:
    """Name the largest part, with its share."""
    part = max(parts_ns, key=lambda part: parts_ns[part], default="unexplained")
    whole = sum(parts_ns.values())
    return f"{PART_NAMES[part]} {percent(parts_ns[part] / whole)}" if whole else _NOTHING


def _by_connection(connections: BusyConnections) -> RenderableType:
    table = Columns(
        "client", "worker", "requests", "p50", "p99", "max", "round trip", "retrans", "all of it"
    )
    for one in connections.busiest[:_CONNECTIONS]:
        table.add(
            one.client,
            f"{one.name} {one.thread}",
            count(one.requests),
            *_whole(one.whole),
            duration(one.round_trip_ns) if one.round_trip_ns else _NOTHING,
            count(one.retransmits),
            duration(one.whole_ns),
        )
    more = connections.busiest[_CONNECTIONS:]
    requests = connections.other_requests + sum(one.requests for one in more)
    if requests:
        time_ns = connections.other_whole_ns + sum(one.whole_ns for one in more)
        table.add("others", "", count(requests), *[""] * 5, duration(time_ns))
    return table


def _slow(interval: ObserveInterval) -> RenderableType:
    requests, kept = interval.slow_requests or 0, interval.slow
    head = f"{numbered(requests, 'slow request')}, by client"
    table = Columns(head, "began", "took", "most of it", "worker", "command")
    for request in kept[:_SLOW]:
        table.add(*_slow_request(request))
    for amount, what in (
        (len(kept) - _SLOW, "more are kept"),
        (requests - len(kept) - interval.slow_unread, "shorter ones"),
        (interval.slow_unread, "not looked at: too many at a time"),
    ):
        if amount > 0:
            table.add(f"{amount:,} {what}", "", "", "", "", "")
    return table


def _slow_request(request: SlowRequest) -> Iterator[str]:
    yield request.client
    yield f"{request.began_s:.3f} s"
    yield duration(request.whole_ns)
    yield _most(request.parts_ns)
    yield f"{request.name} {request.thread}"
    yield request.command or _NOTHING


def _server(server: ObservedServer, interval_s: float) -> Iterator[RenderableType]:
    process = "process unknown" if server.process is None else f"process {server.process}"
    yield Text(f"port {server.port}   {process}   {numbered(len(server.threads), 'thread')}")
    counters = server.counters
    if counters:
        told = {
            "get": counters.get("cmd_get", 0),
            "set": counters.get("cmd_set", 0),
            "yields": counters.get("conn_yields", 0),
            "refused": counters.get("rejected_connections", 0),
        }
        each = "   ".join(f"{name} {_per_s(told[name], interval_s)}" for name in told)
        yield Text(f"  its own counters   {each}")
    busy = [thread for thread in server.threads if thread.cpu_ns or thread.waited_ns]
    if not busy:
        return
    table = Columns("thread", "role", "runs", "waits", "sleeps", "preempted", "faults", "from disk")
    for thread in busy[:_THREADS]:
        table.add(
            f"{thread.name} {thread.thread}",
            thread.role,
            _share(thread.cpu_ns, interval_s),
            _share(thread.waited_ns, interval_s),
            _per_s(thread.sleeps, interval_s),
            _per_s(thread.preemptions, interval_s),
            count(thread.minor_faults),
            count(thread.major_faults),
        )
    yield table


def _footer(interval: ObserveInterval) -> Iterator[Text]:
    yield Text(f"host   {describe_host(interval.host)}")
    yield from (Text(f"TCP    {line}") for line in _tcp(interval))
    if interval.cpu_share is not None:
        cost = interval.cost_ns_per_request
        each = f"{duration(cost)} a request, " if cost is not None else ""
        yield Text(f"cost   {each}{percent(interval.cpu_share)} of one CPU")
    yield Text(f"tier   {_TIERS[interval.tier]}")
    if interval.stepped_down is not None:
        yield Text(f"tier   {interval.tier - 1} from now on: {interval.stepped_down}")
    for missing in interval.missing:
        yield Text(f"missing   {missing.what}: takes {missing.takes}")


def _tcp(interval: ObserveInterval) -> Iterator[str]:
    """Tell of each server's connections, and what was counted, but for zeros."""
    for server in interval.servers:
        if server.tcp is not None:
            yield f"port {server.port}   {_connections(server.tcp)}"
            if waiting := server.tcp.accept_queue:
                limit = count(server.tcp.accept_limit)
                yield f"port {server.port}   {count(waiting)} of {limit} wait to be accepted"
    if (events := interval.tcp_events) is not None:
        amounts = {
            "retransmitted": events.retransmits,
            "resets sent": events.resets_sent,
            "resets received": events.resets_received,
        }
        if any(amounts.values()):
            yield f"these ports   {_amounts(amounts)}"
    if any(interval.host.tcp.values()):
        yield f"all sockets   {_amounts(interval.host.tcp)}"


def _amounts(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count(amount)}" for name, amount in amounts.items() if amount)


def _connections(health: TcpHealth) -> str:
    told = [numbered(health.connections, "connection")]
    if health.round_trip_max_ns:
        median, most = duration(health.round_trip_p50_ns), duration(health.round_trip_max_ns)
        told.append(f"round trip {median}, at most {most}")
    if health.least_window is not None:
        told.append(f"cwnd from {health.least_window}")
    told.append(f"retrans {count(health.retransmits)}")
    return "   ".join(told)


def describe_host(host: Host) -> str:
    """Tell the machine's part: steal, the CPU quota, pressure."""
    told = [f"steal {percent(host.steal)}"]
    if host.throttled_ns is None:
        told.append("CPU quota unknown")
    elif host.throttled_ns == 0:
        told.append("not throttled by a CPU quota")
    else:
        periods = numbered(host.periods_throttled, "period")
        told.append(f"throttled by the CPU quota {duration(host.throttled_ns)} in {periods}")
    if host.reclaims:
        told.append(f"direct reclaims {count(host.reclaims)}")
    if host.pressure:
        shares = (f"{name} {percent(share)}" for name, share in host.pressure.items())
        told.append(f"pressure: {', '.join(shares)}")
    return "   ".join(told)


def describe_observation(observed: ObservedBeside | None) -> Iterator[str]:
    """Tell what was observed beside something, what that cost, and what is missing."""
    if observed is None:
        return
    told = [numbered(observed.intervals, "interval")]
    if observed.requests is not None:
        told.append(numbered(observed.requests, "request"))
    if observed.left_out:
        told.append(f"{observed.left_out:,} more left out")
    if observed.cost_ns_per_request is not None:
        told.append(f"{duration(observed.cost_ns_per_request)} a request")
    if observed.cpu_share is not None:
        told.append(f"{percent(observed.cpu_share)} of one CPU in the kernel")
    yield "   ".join(told)
    if observed.lost:
        yield f"{numbered(observed.lost, 'interval')} not kept: there was no room"
    if observed.failure is not None:
        yield f"ended early: {observed.failure}"
