"""Servers → where the time of their requests goes, one interval after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from membench import _arguments as check, _native
from membench._hint import Hint
from membench._observe.host import read_counters
from membench._observe.options import GROUPS, Options
from membench._observe.results import (
    Account,
    BusyConnections,
    CommandRequests,
    Counted,
    Culprit,
    Host,
    Missing,
    ObservedServer,
    RequestMisses,
    SlowRequest,
    TcpEvents,
    Verdict,
    Worker,
)
from membench._observe.servers import (
    DEFAULT_PORT,
    ServerWatch,
    listening_ports,
    watch_all,
)
from membench._observe.verdicts import judge, judge_tcp, with_tcp
from membench._options import Selection, select
from membench._results import from_json
from membench._running import Running, interval_ends
from membench._sources import SourceKind, kind_of
from membench.errors import CaptureUnavailableError, UsageError
from membench.report.numbers import percent

# The server's own counters of requests.
_COMMANDS = ("cmd_get", "cmd_set", "cmd_touch", "cmd_meta")
# How long one wait lasts before Python looks at signals again, s.
_TURN_S = 0.1
# Slow requests of an interval that can be kept: some 100 MB.
_MOST_KEPT = 100_000
# Tiers of what is observed, each of which includes those below it.
WITHOUT_PRIVILEGES, EVENTS, REQUESTS = range(3)
_WITHOUT_REQUESTS = Missing(
    "where requests' time goes, who had the CPU",
    "`--requests` (CAP_BPF, CAP_PERFMON)",
)
_WITHOUT_EVENTS = Missing(
    "segments retransmitted and resets by server",
    "`--events` (CAP_BPF, CAP_PERFMON)",
)
_WITHOUT_COST = Missing("what the programs cost", "CAP_SYS_ADMIN")
_IN_NAMESPACES = Missing(
    "threads and counters of servers in other network namespaces",
    "`observe` without `--netns` from inside: `nsenter --net`",
)
_WITHOUT_DIAGNOSIS = Missing("connections of TCP", "a kernel with CONFIG_INET_DIAG")
_WITHOUT_PRESSURE = Missing("pressure (PSI)", "a kernel that was booted with `psi=1`")


@dataclass(frozen=True, slots=True)
class ObserveInterval:
    """One interval of an observation.

    Attributes:
        ports: Ports of the servers, all that are followed.
        elapsed_s: Time from the start to the end of the interval, s.
        interval_s: Its length, s.
        account: The time of requests, by its parts; None unless `requests` was asked for, as are
            the times of waiting and `misses`.
        verdicts: Causes that stand out, the largest first.
        culprits: Tasks that had the CPU while a worker waited for it, the longest first.
        waited_ns: Time that workers waited for a CPU, ns.
        waited_briefly_ns: Part of it in waits below 2 µs, which are charged to nobody, ns.
        waited_for_unknown_ns: Part of it while a task ran that is not known, ns.
        workers: Threads that read requests, the busiest first.
        servers: Each server's threads and counters; none of servers in chosen network namespaces.
        host: The machine's part: steal, throttling, pressure.
        slow: The longest of the requests that took `slower_than_s` or longer, the longest first.
        slow_requests: Number of all that took as long; None unless `slower_than_s` was given.
        slow_unread: Slow requests that were not looked at, because too many came at a time.
        misses: Requests that are not in the account.
        cost_ns_per_request: Time that the kernel's programs took for each request, ns; None
            without requests, or without CAP_SYS_ADMIN.
        cpu_share: Time that these programs took, as a share of one CPU; None without
            CAP_SYS_ADMIN.
        missing: Figures that cannot be had here, and what they would take.
        tier: Tier of the observation: 0 has what takes no privilege, 1 also rare events of TCP, 2
            also each request.
        stepped_down: Reason for which the next interval is of a lower tier; None if it is not.
        commands: The account by class of command, the most time first; None unless asked for.
        connections: Requests by connection; None unless asked for.
        tcp_events: Rare events of TCP at the servers' ports; None in tier 0.
    """

    ports: tuple[int, ...]
    elapsed_s: float
    interval_s: float
    account: Account | None
    verdicts: tuple[Verdict, ...]
    culprits: tuple[Culprit, ...]
    waited_ns: int | None
    waited_briefly_ns: int | None
    waited_for_unknown_ns: int | None
    workers: tuple[Worker, ...]
    slow: tuple[SlowRequest, ...]
    slow_requests: int | None
    slow_unread: int
    servers: tuple[ObservedServer, ...]
    host: Host
    misses: RequestMisses | None
    cost_ns_per_request: float | None
    cpu_share: float | None
    missing: tuple[Missing, ...]
    tier: int = WITHOUT_PRIVILEGES
    stepped_down: str | None = None
    commands: tuple[CommandRequests, ...] | None = None
    connections: BusyConnections | None = None
    tcp_events: TcpEvents | None = None


class Observation(Running):
    """Servers that are observed; leaving its `with` block ends that.

    Iterating yields one `ObserveInterval` an interval, until the duration is over or `stop` is
    called; the last one holds the rest.
    """

    def __init__(
        self,
        native: _native.Observer | None,
        tier: int,
        ports: Sequence[int],
        servers: Sequence[ServerWatch],
        missing: Sequence[Missing],
        interval_s: float | None,
        duration_s: float | None,
        max_cost: float | None = None,
    ) -> None:
        """Take over servers that are observed; use `membench.observe` instead."""
        self._native = native
        self._tier = tier
        self._ports = tuple(ports)
        self._servers = servers
        lacking = (_WITHOUT_EVENTS, _WITHOUT_REQUESTS)[tier:]
        self._missing = (*reversed(lacking), *missing)
        self._begun = self._last = time.monotonic()
        self._interval_s = interval_s
        self._duration_s = duration_s
        self._max_cost = max_cost
        self._ended = False
        self._cut = False
        self._processes = {one.process for one in servers if one.process is not None}
        self._counters = read_counters(self._processes)

    def _end(self) -> None:
        self.stop()
        for server in self._servers:
            server.close()

    def __iter__(self) -> Iterator[ObserveInterval]:
        """Yield each interval; without a length, one that lasts until the end."""
        lengths = (self._interval_s, self._duration_s)
        for _ in interval_ends(self._begun, *lengths, self._wait, lambda: self._ended):
            yield self.take()
        self.stop()
        yield self.take()

    @property
    def began_ns(self) -> int:
        """Begin of the observation, on the monotonic clock, ns."""
        return round(self._begun * 1e9) if self._native is None else self._native.began_ns

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports of the servers, all that are followed."""
        return self._ports

    def take(self) -> ObserveInterval:
        """Return what came since the last call."""
        servers = tuple(server.take() for server in self._servers)
        self._processes |= {server.process for server in servers if server.process is not None}
        before, self._counters = self._counters, read_counters(self._processes)
        host = before.until(self._counters)
        missing = list(self._missing)
        if not host.pressure:
            missing.append(_WITHOUT_PRESSURE)
        if any(server.tcp is None for server in servers):
            missing.append(_WITHOUT_DIAGNOSIS)
        counted = None
        if self._native is not None and self._tier != WITHOUT_PRIVILEGES:
            counted = from_json(Counted, self._native.take())
        now = time.monotonic()
        length, self._last = now - self._last, now
        interval = ObserveInterval(
            ports=self._ports,
            elapsed_s=now - self._begun if counted is None else counted.elapsed_s,
            interval_s=length if counted is None else counted.interval_s,
            account=None,
            verdicts=(),
            culprits=(),
            waited_ns=None,
            waited_briefly_ns=None,
            waited_for_unknown_ns=None,
            workers=(),
            slow=(),
            slow_requests=None,
            slow_unread=0,
            servers=servers,
            host=host,
            misses=None,
            cost_ns_per_request=None,
            cpu_share=None,
            missing=tuple(missing),
            tier=self._tier,
        )
        if counted is None:
            return _judged(interval)
        if counted.cpu_share is None:
            interval = replace(interval, missing=(*interval.missing, _WITHOUT_COST))
        interval = replace(interval, tcp_events=counted.tcp_events, cpu_share=counted.cpu_share)
        if self._tier == REQUESTS:
            interval = self._with_requests(interval, counted)
        return self._within_cost(_judged(interval))

    def _with_requests(self, interval: ObserveInterval, counted: Counted) -> ObserveInterval:
        self._processes |= {worker.process for worker in counted.workers}
        return replace(
            interval,
            account=counted.account,
            verdicts=judge(counted, interval.host, frozenset(self._processes)),
            culprits=counted.culprits,
            waited_ns=counted.waited_ns,
            waited_briefly_ns=counted.waited_briefly_ns,
            waited_for_unknown_ns=counted.waited_for_unknown_ns,
            workers=counted.workers,
            slow=counted.slow,
            slow_requests=counted.slow_requests,
            slow_unread=counted.slow_unread,
            misses=counted.misses,
            cost_ns_per_request=counted.cost_ns_per_request,
            commands=counted.commands,
            connections=counted.connections,
        )

    def _within_cost(self, interval: ObserveInterval) -> ObserveInterval:
        """Step down to the next lower tier if the programs took more than they may."""
        share, limit = interval.cpu_share, self._max_cost
        if self._ended or limit is None or share is None or share <= limit:
            return interval
        said = f"the programs took {percent(share)} of one CPU, more than {percent(limit)}"
        lost = _WITHOUT_REQUESTS if self._tier == REQUESTS else _WITHOUT_EVENTS
        self._missing = (Missing(lost.what, f"a higher `--max-cost`: {said}"), *self._missing)
        self._tier -= 1
        if self._native is not None and self._tier == EVENTS:
            self._native.detach_requests()
        elif self._native is not None:
            self._native.detach()
        return replace(interval, stepped_down=said)

    def timeline(self) -> bytes:
        """Return the next bytes of a timeline of slow requests, which ui.perfetto.dev shows.

        The first call begins it; each later one returns what the intervals since then add. With
        `hindsight_s` that is what the intervals of the time before the call add.
        """
        return b"" if self._native is None else self._native.timeline()

    def cut(self) -> None:
        """End the current interval soon; the next one begins. Signal handlers may call it."""
        self._cut = True

    def stop(self) -> None:
        """Detach the programs; what they counted can still be taken."""
        self._ended = True
        if self._native is not None:
            self._native.detach()

    def _wait(self, until: float) -> None:
        while not (self._ended or self._cut) and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _TURN_S))
            if self._native is not None:
                self._native.read_slow()
        self._cut = False


def _judged(interval: ObserveInterval) -> ObserveInterval:
    """Add the verdicts about TCP."""
    if interval.account is not None:
        requests: int | None = interval.account.requests
    else:
        counters = [server.counters for server in interval.servers]
        told = [one[name] for one in counters for name in _COMMANDS if name in one]
        requests = sum(told) if told else None
    found = judge_tcp(interval.servers, interval.host, interval.tcp_events, requests)
    return replace(interval, verdicts=with_tcp(interval.verdicts, found))


def observe(  # noqa: PLR0913 - all but one are keyword-only options
    source: str = "ebpf:any",
    *,
    requests: bool = False,
    events: bool = False,
    by: Sequence[str] = (),
    selection: Selection | None = None,
    ports: Sequence[int] | None = None,
    duration_s: float | None = None,
    interval_s: float | None = 5.0,
    slower_than_s: float | None = None,
    keep: int = 100,
    hindsight_s: float | None = None,
    max_cost: float | None = None,
    drop_privileges: bool = False,
) -> Observation:
    """Observe live memcacheds: what they do, where the time of requests goes, who had their CPU.

    Args:
        source: `ebpf:any`, the servers of this machine.
        requests: Account for each request, at the kernel's tracepoints, and count `events`. Without
            both, nothing is loaded into the kernel, and no privilege is taken.
        events: Count rare events of TCP, at the kernel's tracepoints.
        by: With `requests`, also sum them by `command`, by `connection`, or both.
        selection: The servers; without one, those on memcached's own port.
        ports: Short form of a selection by ports.
        duration_s: End after this time.
        interval_s: Length of an interval; None for one that lasts until the end.
        slower_than_s: With `requests`, list each interval's requests that took this long or
            longer, s.
        keep: The most that are listed of an interval: the longest.
        hindsight_s: With `slower_than_s`, have a timeline show the slow requests of this time
            before it is asked for, s.
        max_cost: Step down to a lower tier once the programs of an interval took more than this
            share of one CPU. It takes CAP_SYS_ADMIN.
        drop_privileges: Give up every privilege of this process, with `requests` once attached, but
            for those that finding a server's process takes. It cannot be undone.

    Raises:
        UsageError: An argument is wrong.
        CaptureUnavailableError: No server is there, or this machine or your permissions do not
            allow it; see `hint`.
    """
    if kind_of(source) is not SourceKind.SOCKETS:
        raise UsageError(
            f"`{source}` cannot be observed", "`ebpf:any`: the servers of this machine"
        )
    check.flags(requests=requests, events=events, drop_privileges=drop_privileges)
    times = {
        "a duration": duration_s,
        "an interval": interval_s,
        "a time": slower_than_s,
        "hindsight": hindsight_s,
    }
    for what, seconds in times.items():
        if seconds is not None:
            check.seconds(what, seconds)
    check.whole("a number of requests", keep, 1, _MOST_KEPT)
    options = Options(
        requests=requests,
        by=_groups(by),
        slower_than_s=slower_than_s,
        keep=keep,
        hindsight_s=hindsight_s,
        drop_privileges=drop_privileges,
    )
    tier = REQUESTS if requests else EVENTS if events else WITHOUT_PRIVILEGES
    chosen = _chosen(select(selection, ports), options, tier)
    native = _loaded(chosen, options, tier, max_cost)
    lengths = (interval_s, duration_s)
    followed = native.ports if native is not None else _ports(chosen)
    if chosen.network_namespaces:
        # The same port here is another server's.
        return Observation(native, tier, followed, (), (_IN_NAMESPACES,), *lengths, max_cost)
    if native is None and drop_privileges:
        _native.give_up_for_watching()
    servers = watch_all(followed)
    if not any(server.is_there for server in servers):
        raise CaptureUnavailableError(
            f"no server listens on port {', '.join(map(str, followed))}", _other_servers()
        )
    return Observation(native, tier, followed, servers, (), *lengths, max_cost)


def observe_beside(
    selection: Selection,
    *,
    requests: bool,
    slower_than_s: float,
    keep: int,
    wait: bool = False,
    on_connect: Callable[[str, int], object] | None = None,
    asks: bool = True,
) -> tuple[Observation, _native.Observer | None]:
    """Observe the servers of a recording or a replay; the caller takes the intervals.

    Args:
        selection: The servers.
        requests: Account for each request.
        slower_than_s: Time from which a request is slow, s.
        keep: The most slow requests that are kept of an interval.
        wait: Begin before there is a server.
        on_connect: Called with the local end of each connection to a server, before it is used.
        asks: Ask the servers for their counters.

    Raises:
        UsageError: Servers of this kind cannot be observed.
        CaptureUnavailableError: No server is there, or this machine or your permissions do not
            allow it.
    """
    options = Options(
        requests=requests,
        by=(),
        slower_than_s=slower_than_s if requests else None,
        keep=keep,
        hindsight_s=None,
        drop_privileges=False,
    )
    tier = REQUESTS if requests else WITHOUT_PRIVILEGES
    chosen = _chosen(selection, options, tier)
    native = _loaded(chosen, options, tier, None)
    followed = native.ports if native is not None else _ports(chosen)
    if chosen.network_namespaces:
        return Observation(native, tier, followed, (), (_IN_NAMESPACES,), None, None), native
    servers = watch_all(followed, on_connect, asks=asks)
    if not wait and not any(server.is_there for server in servers):
        raise CaptureUnavailableError(
            f"no server listens on port {', '.join(map(str, followed))}", _other_servers()
        )
    return Observation(native, tier, followed, servers, (), None, None), native


def _loaded(
    chosen: Selection, options: Options, tier: int, max_cost: float | None
) -> _native.Observer | None:
    """Load the programs of a tier; None if it has none."""
    if max_cost is not None:
        check.positive("a share of a CPU", max_cost, 1e4)
    if tier == WITHOUT_PRIVILEGES:
        if max_cost is not None:
            raise UsageError(
                "programs have a cost, and none are asked for",
                Hint("add `{requests}`, or `{events}`"),
            )
        return None
    native = _native.Observer(chosen, options)
    if max_cost is not None and not native.knows_cost:
        raise CaptureUnavailableError(
            "`max_cost` compares what the programs cost, which this process may not ask",
            "it takes CAP_SYS_ADMIN",
        )
    return native


def _groups(by: Sequence[str]) -> tuple[str, ...]:
    groups = tuple(check.texts("by", by))
    for group in groups:
        if group not in GROUPS:
            raise UsageError(f"requests are not grouped by `{group}`", f"by {', '.join(GROUPS)}")
    return groups


def _chosen(chosen: Selection, options: Options, tier: int) -> Selection:
    """Return a selection of servers that can be observed as asked for."""
    if chosen.side != "server" or chosen.ports == "any" or chosen.sockets:
        raise UsageError(
            "servers are observed at their ports", "`ports`, `pids`, `cgroups` or namespaces"
        )
    if not options.requests and chosen.cgroups:
        raise UsageError(
            "control groups choose among requests, and none are observed",
            Hint("add `{requests}`, or name ports or processes"),
        )
    if tier == WITHOUT_PRIVILEGES and chosen.network_namespaces:
        raise UsageError(
            "network namespaces choose among requests, and none are observed",
            Hint("add `{requests}`, or name ports or processes"),
        )
    if options.slower_than_s is not None and not options.requests:
        raise UsageError(
            "slow requests are chosen among requests, and none are observed",
            Hint("add `{requests}`"),
        )
    if options.by and not options.requests:
        raise UsageError(
            "requests are grouped, and none are observed",
            Hint("add `{requests}`"),
        )
    return chosen


def _other_servers() -> str:
    found = _native.running_servers()
    return f"memcached is on {found}" if found else "start memcached, or name its port"


def _ports(selection: Selection) -> list[int]:
    """Return the ports of a selection; those on which its processes listen, else memcached's."""
    if selection.ports != "any" and selection.ports:
        return list(selection.ports)
    found: set[int] = set()
    for pid in selection.pids:
        if not (ports := listening_ports(pid)):
            raise UsageError(
                f"process {pid} listens on no port that this user can see",
                "name the port, or run as its user",
            )
        found.update(ports)
    return sorted(found) or [DEFAULT_PORT]
