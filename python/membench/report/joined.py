"""A report on a recording → text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from membench._analysis.distributions import Quantiles
from membench._analysis.requests import Times
from membench._host import HostFacts
from membench._observe.observe import ObserveInterval
from membench._report import Period, ProfileReport, ServerStatistics, SlowSecond
from membench.report.columns import Columns
from membench.report.items import Items
from membench.report.numbers import clock, count, duration, numbered, percent, rate, size
from membench.report.observe import (
    PART_NAMES,
    account_table,
    culprit_table,
    describe_host,
    worker_table,
)
from membench.report.plain import plain_result

_NOTHING = "–"  # noqa: RUF001 - a dash
_WIDTH = 100
# Times that a percentile takes to differ from the longest.
_LEAST = {"p99": 100, "p999": 1000}
# Parts of the time that a slow second names, from this share on.
_PARTS = 2
_WORTH_NAMING = 0.1
# Slow seconds whose causes are told in words.
_EXPLAINED = 5


def render_report(report: ProfileReport) -> RenderableType:
    """Lay out a report: times by command, where they went, over time, the slowest seconds."""
    report = plain_result(report)
    parts: list[RenderableType] = [*_head(report)]
    for section in (_times(report), _observed(report), _over_time(report), _slowest(report)):
        lines = list(section)
        if lines:
            parts += [Text(), *lines]
    servers = [line for server in report.servers for line in _server(server)]
    if servers:
        parts += [Text(), *servers]
    if report.missing:
        parts.append(Text())
        parts += (Text(f"missing   {one.what}: takes {one.takes}") for one in report.missing)
    return Group(*parts)


def _head(report: ProfileReport) -> Iterator[RenderableType]:
    started = datetime.fromtimestamp(report.started_utc_ns / 1e9, UTC)
    complete = {True: "complete", False: "INCOMPLETE: see `membench info`", None: "not sealed"}
    yield Text(
        f"{report.name}   {started:%Y-%m-%d %H:%M:%S} UTC   {clock(report.duration_s)}"
        f"   {numbered(report.requests, 'request')}   {complete[report.complete]}"
    )
    if not report.sample.is_all:
        yield Text(f"sample   {report.sample}: counts and rates are of the sample")
    if report.host is not None:
        yield Items(f"host     {'   '.join(_host(report.host))}")


def _host(host: HostFacts) -> Iterator[str]:
    yield f"Linux {host.kernel}"
    yield numbered(host.cpus, "CPU")
    facts = {
        "preemption": host.preemption,
        "governor": host.governor,
        "huge pages": host.transparent_hugepages,
    }
    yield from (f"{what} {value}" for what, value in facts.items() if value)
    for server in host.servers:
        limits = [f"{name} {value}" for name, value in server.limits.items()]
        scheduling = [f"scheduling {one}" for one in server.scheduling]
        yield from (f"port {server.port}: {one}" for one in (*scheduling, *limits))


def _times(report: ProfileReport) -> Iterator[RenderableType]:
    times = report.times
    if times is None or times.server_ns is None:
        return
    table = Columns(
        "server time, by command", "requests", "p50", "p99", "p99.9", "max", "queued p50", "p99"
    )
    for one in times.server_ns_by_command:
        server, queue = one.server_ns, one.queue_ns
        table.add(
            one.command,
            count(server.count),
            *_quantiles(server, "p50", "p99", "p999", "max"),
            *_quantiles(queue, "p50", "p99"),
        )
    table.add("all", *_all(times))
    yield table
    hits = report.hits
    if hits is not None and hits.all.ratio is not None:
        yield Text(f"hits   {percent(hits.all.ratio)} of {count(hits.all.reads)} keys looked up")


def _all(times: Times) -> Iterator[str]:
    if times.server_ns is not None:
        yield count(times.server_ns.count)
    yield from _quantiles(times.server_ns, "p50", "p99", "p999", "max")
    yield from _quantiles(times.queue_ns, "p50", "p99")


def _quantiles(times: Quantiles | None, *names: str) -> Iterator[str]:
    """Write quantiles; a dash where so few times have none but the longest."""
    for name in names:
        is_known = times is not None and times.count >= _LEAST.get(name, 1)
        yield duration(getattr(times, name)) if is_known else _NOTHING


def _observed(report: ProfileReport) -> Iterator[RenderableType]:
    observed = report.observed
    if observed is None:
        return
    if observed.account is not None and observed.account.requests:
        yield account_table(observed.account)
        yield Text("p50, p99 and p99.9 are means over the seconds")
        yield Text()
        yield from (Text(f"→ {verdict.text}") for verdict in observed.verdicts)
        if observed.culprits:
            yield from (Text(), culprit_table(observed))
        if observed.workers:
            yield from (Text(), worker_table(observed))
        yield Text()
    yield Text(f"host   {describe_host(observed.host)}")
    if (events := observed.tcp_events) is not None:
        yield Text(
            f"TCP    {numbered(events.retransmits, 'segment')} retransmitted"
            f"   {numbered(events.resets_sent, 'reset')} sent"
            f"   {numbered(events.resets_received, 'reset')} received"
        )
    yield from _coverage(report, observed)


def _coverage(report: ProfileReport, observed: ObserveInterval) -> Iterator[Text]:
    share = report.observed_s / report.duration_s if report.duration_s > 0 else 1.0
    told = [f"{min(share, 1.0) * 100:.0f} % of the recording"]
    if observed.misses is not None and observed.misses.lost:
        told.append(f"{numbered(observed.misses.lost, 'request')} left out")
    if observed.cost_ns_per_request is not None:
        told.append(f"cost {duration(observed.cost_ns_per_request)} a request")
    yield Text(f"observed   {'   '.join(told)}")


def _over_time(report: ProfileReport) -> Iterator[RenderableType]:
    if not report.periods:
        return
    table = Columns(
        "from", "gets", "sets", "hits", "evicted", "yields", "mean", "queued", "steal", "throttled"
    )
    for period in report.periods:
        table.add(clock(period.begins_s), *_period(period))
    yield table


def _period(period: Period) -> Iterator[str]:
    counters = period.counters
    for name in ("cmd_get", "cmd_set"):
        yield _rate(period, name)
    hits, misses = counters.get("get_hits", 0), counters.get("get_misses", 0)
    yield percent(hits / (hits + misses)) if hits + misses else _NOTHING
    for name in ("evictions", "conn_yields"):
        yield _rate(period, name)
    yield duration(period.whole_ns) if period.whole_ns is not None else _NOTHING
    yield percent(period.queued) if period.queued is not None else _NOTHING
    yield percent(period.steal)
    yield duration(period.throttled_ns) if period.throttled_ns is not None else _NOTHING


def _rate(period: Period, name: str) -> str:
    return rate(period.rates[name]) if name in period.rates else _NOTHING


def _slowest(report: ProfileReport) -> Iterator[RenderableType]:
    if not report.slowest:
        return
    headings = ("slowest seconds", "requests", "server p99", "max", "queue p99", "slowest", "in it")
    table = Columns(*headings)
    for second in report.slowest:
        queue = second.queue_ns
        table.add(
            clock(second.second),
            count(second.requests),
            duration(second.server_ns.p99),
            duration(second.server_ns.max),
            duration(queue.p99) if queue is not None else _NOTHING,
            second.slowest,
            _parts(second),
        )
    yield table
    told: dict[str, list[str]] = {}
    for second in report.slowest[:_EXPLAINED]:
        for verdict in second.verdicts:
            if verdict.rule != "nothing":
                told.setdefault(verdict.text, []).append(clock(second.second))
    yield from (Text(f"{', '.join(seconds)}   {text}") for text, seconds in told.items())


def _parts(second: SlowSecond) -> str:
    """Name the largest parts of the time of requests in a second."""
    largest = sorted(second.parts.items(), key=lambda item: -item[1])[:_PARTS]
    told = [
        f"{PART_NAMES[part]} {percent(share)}"
        for part, share in largest
        if part in PART_NAMES and share >= _WORTH_NAMING
    ]
    return ", ".join(told) or _NOTHING


def _server(server: ServerStatistics) -> Iterator[RenderableType]:
    version = f"memcached {server.version}" if server.version else "memcached"
    told = [f"{version} {server.server}"]
    if server.items is not None:
        told.append(numbered(server.items, "item"))
    if server.connections is not None:
        told.append(numbered(server.connections, "connection"))
    yield Text("   ".join(told))
    yield from _counters(server)


def _counters(server: ServerStatistics) -> Iterator[RenderableType]:
    counters = server.counters
    if not counters:
        yield Text(
            "  counters unknown: the server did not answer at the start, was started again, or its"
            " counters were reset"
        )
        return
    told = [
        f"{name} {size(amount) if name.startswith('bytes') else f'{amount:,}'}"
        for name, amount in counters.items()
        if amount
    ]
    for line in _lines([*told, f"in {numbered(server.length_s, 'second')}"]):
        yield Text(f"  {line}")


def _lines(items: Sequence[str]) -> Iterator[str]:
    """Join items to lines that fit the width of a report."""
    line = ""
    for item in items:
        longer = f"{line}   {item}" if line else item
        if len(longer) > _WIDTH - 2 and line:
            yield line
            line = item
        else:
            line = longer
    if line:
        yield line
