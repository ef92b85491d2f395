"""Profile → one report: the times of requests, where they went, and what memcached counted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from membench import _native
from membench._analysis import Analysis
from membench._analysis.requests import CommandShare, Hits, Times
from membench._host import HostFacts
from membench._ledger import Ledger
from membench._observe.observe import ObserveInterval
from membench._observe.results import Culprit, Host, Missing, Verdict
from membench._observe.total import Total
from membench._profile import Profile, Summary, open as open_profile, open_native
from membench._results import build, from_json
from membench._sample import Sample
from membench._shown import Shown

# Seconds that are listed, spans into which a recording is divided, tasks that are named of each.
_SECONDS = 10
_PERIODS = 10
_CULPRITS = 3
_SECTIONS = ["commands", "hits", "times"]
# Counters of memcached that only grow, and tell of a server's work or trouble.
_COUNTERS = (
    *("cmd_get", "cmd_set", "cmd_touch", "cmd_meta", "get_hits", "get_misses", "get_expired"),
    *("evictions", "reclaimed", "expired_unfetched", "evicted_unfetched", "total_connections"),
    *("rejected_connections", "listen_disabled_num", "conn_yields", "bytes_read"),
    *("bytes_written", "crawler_reclaimed", "slabs_moved", "lrutail_reflocked"),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a time, ns."""

    p50: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class SlowSecond:
    """A second in which requests took long, and what the kernel said in it.

    Attributes:
        second: Its place in the recording; 0 is the first.
        requests: Requests that were read in it.
        commands: Requests by command.
        server_ns: Server time.
        queue_ns: Queue time; None if the source does not know arrivals.
        slowest: Command of the request with the longest server time.
        parts: Shares of the parts in the time of the requests observed meanwhile; empty without
            `--observe=requests`.
        culprits: Tasks that had the CPU while a worker waited for it, the longest first.
        verdicts: Causes that stand out in it.
        host: The machine's part; None without an observation.
    """

    second: int
    requests: int
    commands: Mapping[str, int]
    server_ns: Spread
    queue_ns: Spread | None
    slowest: str
    parts: Mapping[str, float]
    culprits: tuple[Culprit, ...]
    verdicts: tuple[Verdict, ...]
    host: Host | None


@dataclass(frozen=True, slots=True)
class Period:
    """A span of a recording, by what was observed in it.

    Attributes:
        begins_s: Its begin, s since the recording began.
        length_s: Its length as far as it was observed, s.
        requests: Requests in the account; None without `--observe=requests`.
        whole_ns: Mean time of a request, ns; None without requests.
        queued: Share of the time in which workers waited for a CPU; None without requests.
        steal: Share of the CPUs' time that the hypervisor gave to others.
        throttled_ns: Time for which the servers' CPU quota throttled them, ns; None if unknown.
        counters: Growth of memcached's own counters, all servers together.
        rates: This growth a second of the time between the servers' answers, which on a busy
            machine is not that of the period.
    """

    begins_s: float
    length_s: float
    requests: int | None
    whole_ns: float | None
    queued: float | None
    steal: float
    throttled_ns: int | None
    counters: Mapping[str, int]
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """Counters of a server itself, from the recording's start to its end.

    Attributes:
        server: Address at which it listens.
        version: Its version.
        items: Items at the end.
        connections: Connections at the end.
        length_s: Time between its answers at the start and at the end, s; 0 without both.
        counters: Growth of its counters meanwhile; of one that was started again, none.
    """

    server: str
    version: str | None
    items: int | None
    connections: int | None
    length_s: int
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProfileReport(Shown):
    """A recording: the times of its requests, where they went, what memcached counted.

    Attributes:
        name: Name of the profile's folder.
        source: The source, as the user named it.
        started_utc_ns: Start of the recording, UTC, ns since 1970.
        duration_s: Length of the recording, s.
        complete: True if every byte is accounted for; None if the profile was not sealed.
        sample: The share of the traffic that was recorded.
        host: The host and its servers at the start; None if they are not known.
        requests: Requests.
        commands: Requests and outcomes by command, most frequent first.
        hits: Hit ratios.
        times: Server time and queue time, by command.
        observed: All intervals of the observation together; None without an observation.
        observed_s: Time that was observed, s.
        periods: The observation over time.
        slowest: The seconds with the longest server times, the slowest first.
        servers: The servers' own counters.
        missing: Figures that this profile does not have, and what they would have taken.
    """

    name: str
    source: str
    started_utc_ns: int
    duration_s: float
    complete: bool | None
    sample: Sample
    host: HostFacts | None
    requests: int
    commands: tuple[CommandShare, ...]
    hits: Hits | None
    times: Times | None
    observed: ObserveInterval | None
    observed_s: float
    periods: tuple[Period, ...]
    slowest: tuple[SlowSecond, ...]
    servers: tuple[ServerStatistics, ...]
    missing: tuple[Missing, ...]

    def _report(self) -> str:
        from membench.report.joined import render_report  # noqa: PLC0415 - only for what is shown
        from membench.report.text import as_text  # noqa: PLC0415 - only for what is shown

        return as_text(render_report(self))


def report_on(profile: Profile | str | os.PathLike[str]) -> ProfileReport:
    """Join the times of a profile's requests, what was observed, and what memcached counted.

    Args:
        profile: An open profile, or a path.

    Raises:
        ProfileError: The profile is damaged.
        UsageError: The path is not a profile.
        CaptureUnavailableError: You may not read it.
    """
    profile = profile if isinstance(profile, Profile) else open_profile(profile)
    native = open_native(profile)
    summary, manifest = profile.summary(), profile.manifest()
    analysis = from_json(Analysis, _native.analyze(native, only=_SECTIONS))
    seconds = json.loads(_native.slowest_seconds(native, _SECONDS))
    joined = _Joined(seconds, summary.duration_s)
    for interval in profile.observed():
        joined.add(interval)
    observed = joined.total.finish()
    return ProfileReport(
        name=profile.path.name,
        source=summary.source,
        started_utc_ns=summary.anchor.utc_ns,
        duration_s=summary.duration_s,
        complete=_complete(summary.ledger),
        sample=summary.sample,
        host=host_of(manifest),
        requests=summary.requests,
        commands=analysis.commands or (),
        hits=analysis.hits,
        times=analysis.times,
        observed=observed,
        observed_s=observed.interval_s if observed is not None else 0.0,
        periods=tuple(joined.periods()),
        slowest=tuple(joined.slowest()),
        servers=tuple(_statistics(manifest)),
        missing=tuple(_missing(summary, analysis, observed, manifest)),
    )


def _complete(ledger: Ledger | None) -> bool | None:
    return None if ledger is None else ledger.complete


def host_of(manifest: Mapping[str, object]) -> HostFacts | None:
    """Return the facts about the host in a manifest; None if it has none that can be read."""
    found = manifest.get("host")
    if not isinstance(found, dict):
        return None
    try:
        host: HostFacts = build(HostFacts, found, are_others_allowed=True)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return host


class _Joined:
    """Intervals, summed over the whole, over spans, and over the slow seconds that they touch."""

    def __init__(self, seconds: list[dict[str, Any]], duration_s: float) -> None:
        self.total = Total()
        self._seconds = [(one, Total()) for one in seconds]
        self._each_s = max(duration_s / _PERIODS, 1.0)
        self._periods: dict[int, Total] = {}

    def add(self, interval: ObserveInterval) -> None:
        self.total.add(interval)
        begin, end = interval.elapsed_s - interval.interval_s, interval.elapsed_s
        # The first interval begins a moment before the recording, the last may end after it.
        period = min(max(int(begin / self._each_s), 0), _PERIODS - 1)
        self._periods.setdefault(period, Total()).add(interval)
        for second, total in self._seconds:
            if begin < second["second"] + 1 and end > second["second"]:
                total.add(interval)

    def periods(self) -> Iterator[Period]:
        for number, total in sorted(self._periods.items()):
            found = total.finish()
            if found is not None:
                yield _period(number * self._each_s, found)

    def slowest(self) -> Iterator[SlowSecond]:
        for second, total in self._seconds:
            found = total.finish()
            account = found.account if found is not None else None
            yield SlowSecond(
                second=second["second"],
                requests=second["requests"],
                commands=second["commands"],
                server_ns=build(Spread, second["server_ns"]),
                queue_ns=build(Spread | None, second["queue_ns"]),
                slowest=second["slowest"],
                parts={part: account.share(part) for part in account.parts_ns}
                if account is not None
                else {},
                culprits=found.culprits[:_CULPRITS] if found is not None else (),
                verdicts=found.verdicts if found is not None else (),
                host=found.host if found is not None else None,
            )


def _period(begins_s: float, found: ObserveInterval) -> Period:
    account = found.account
    counters: dict[str, int] = {}
    rates: dict[str, float] = {}
    for server in found.servers:
        for name, growth in server.counters.items():
            counters[name] = counters.get(name, 0) + growth
            if server.counted_s:
                rates[name] = rates.get(name, 0.0) + growth / server.counted_s
    is_known = account is not None and account.requests > 0
    return Period(
        begins_s=begins_s,
        length_s=found.interval_s,
        requests=account.requests if account is not None else None,
        whole_ns=account.whole_ns / account.requests if account is not None and is_known else None,
        queued=account.share("run_queue_woken", "run_queue_preempted")
        if account is not None and is_known
        else None,
        steal=found.host.steal,
        throttled_ns=found.host.throttled_ns,
        counters=counters,
        rates=rates,
    )


def _statistics(manifest: Mapping[str, object]) -> Iterator[ServerStatistics]:
    starts, ends = (manifest.get(f"statistics_{when}") for when in ("start", "end"))
    starts = starts if isinstance(starts, dict) else {}
    for server, end in ends.items() if isinstance(ends, dict) else ():
        first, last = _general(starts.get(server)), _general(end)
        is_same = first.get("pid") == last.get("pid")
        growth = {
            name: _number(last[name]) - _number(first[name])
            for name in _COUNTERS
            if is_same and name in first and name in last
        }
        yield ServerStatistics(
            server=str(server),
            version=last.get("version"),
            items=_number(last["curr_items"]) if "curr_items" in last else None,
            connections=_number(last["curr_connections"]) if "curr_connections" in last else None,
            length_s=_length_s(first, last),
            # `stats reset` sets counters to 0.
            counters={name: amount for name, amount in growth.items() if amount >= 0},
        )


def _length_s(first: Mapping[str, str], last: Mapping[str, str]) -> int:
    """Return the time between two answers of a server, s; 0 without either."""
    if "time" not in first or "time" not in last:
        return 0
    return max(_number(last["time"]) - _number(first["time"]), 0)


def _general(statistics: object) -> dict[str, str]:
    general = statistics.get("general") if isinstance(statistics, dict) else None
    if not isinstance(general, dict):
        return {}
    return {str(name): value for name, value in general.items() if isinstance(value, str)}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < len(str(1 << 64)) else 0


def _missing(
    summary: Summary,
    analysis: Analysis,
    observed: ObserveInterval | None,
    manifest: Mapping[str, object],
) -> Iterator[Missing]:
    yield from _unobserved(observed)
    times = analysis.times
    if times is None or times.server_ns is None:
        yield Missing("server time", "`record --responses bytes` or `lengths`, of a live server")
    if times is None or times.queue_ns is None:
        takes = "`record ebpf:any`, which knows when requests arrive"
        if summary.arrival is False:
            takes = "`record` without `--no-arrival`"
        yield Missing("queue time", takes)
    if not isinstance(manifest.get("statistics_end"), dict) or not manifest["statistics_end"]:
        yield Missing(
            "memcached's own counters",
            "`record` without `--no-stats`, to its end, of a live server",
        )
    if host_of(manifest) is None:
        yield Missing("facts about the host", "a live recording on the server's host")
    if observed is None or observed.tcp_events is None:
        yield Missing("segments retransmitted, connections reset", "`record --observe=requests`")


def _unobserved(observed: ObserveInterval | None) -> Iterator[Missing]:
    if observed is None:
        yield Missing(
            "where requests' time went, who had the CPU, threads and counters over time",
            "`record --observe=requests`: this was recorded without `--observe`",
        )
    elif observed.account is None:
        yield Missing(
            "where requests' time went, who had the CPU",
            "`record --observe=requests`: this was recorded with `--observe`",
        )
    elif observed.cpu_share is None:
        yield Missing("what observing cost", "CAP_SYS_ADMIN while recording")
