"""Progress, results and checks of a replay → text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._metrics import Check
from membench._observe.results import Account
from membench._observe.total import Total
from membench._replay import (
    Durations,
    Outcomes,
    Percentiles,
    Progress,
    ReplayResult,
    ServerCounters,
)
from membench.report.artifacts import describe_value
from membench.report.items import Items
from membench.report.numbers import clock, count, duration, percent, rate, size
from membench.report.observe import (
    account_table,
    culprit_table,
    describe_host,
    describe_observation,
)

_QUANTILES = ("p50", "p90", "p99", "p999", "max")
# CPU time of a sending thread from which its own work may show in the times.
_BUSY = 0.85
# Share of the replay's requests by which the account may differ in number.
_OTHERS = 0.05
# The durations that a percentile takes to differ from the maximum.
_LEAST = {"p90": 10, "p99": 100, "p999": 1000}


def describe_progress(progress: Progress) -> str:
    """Describe progress for the bar: time, rate, response time, lag, errors."""
    waiting = progress.sent - progress.answered
    times = "".join(
        f"  {name} {duration(value)}"
        for name, value in (
            ("p99", progress.response_p99_ns),
            ("lag p99", progress.lag_p99_ns),
        )
        if value is not None
    )
    silent = f"  no answer, {waiting:,} waiting" if progress.response_p99_ns is None else ""
    of = f" of {clock(progress.planned_s)}" if progress.planned_s else ""
    return (
        f"{clock(progress.elapsed_s)}{of}  {count(progress.rate)}/s"
        f"{times}{silent if waiting else ''}  errors {progress.errors:,}"
    )


def describe_schedule(progress: Progress) -> str:
    """Describe what a replay that has begun will send, and how long that takes."""
    requests = f"{progress.planned:,} requests"
    pace = f"in {clock(progress.planned_s)}" if progress.planned_s else "as the target answers"
    return f"replay   {requests} {pace}; Ctrl-C ends it with a report"


def _sample(result: ReplayResult) -> Iterator[Text]:
    if not result.sample.is_all:
        yield Text(f"a sample was replayed, {result.sample}: a fraction of the recorded load")


def render_replay(result: ReplayResult) -> RenderableType:
    """Sum up a replay: requests sent, timing, outcomes, response times, checks."""
    return Group(
        *_target(result),
        *_stopped(result),
        *_sent(result),
        *_sample(result),
        _timing(result),
        *_generator(result),
        *_late(result),
        *_expiries(result),
        *_shared_keys(result),
        *_fills(result),
        *_counts("not replayed", result.skipped),
        *_counts("not sent", result.unsent),
        *_counts("not answered", result.unanswered),
        *_counts("outcomes that differ", _flatten(result.outcomes.differences)),
        Text(),
        _times_table(result.response_ns),
        *_bounds(result.response_ns),
        *_composition(result),
        *_observed(result),
        *_checks(result.checks),
    )


def _target(result: ReplayResult) -> list[Text]:
    version = f"memcached {result.target.version}" if result.target.version else "memcached"
    lines = [f"target   {version} at {result.target.name}"]
    lines.extend(
        f"         {share.name} for {', '.join(share.servers)}: {share.planned:,} requests"
        for share in result.targets
    )
    if result.warm is not None:
        refused = f"; {result.warm.refused:,} refused" if result.warm.refused else ""
        lines.append(f"warm     {result.warm.keys:,} keys, {size(result.warm.bytes)}{refused}")
    if result.server is not None:
        agree = "agrees" if result.server.bytes_agree else "DIFFERS"
        lines.append(
            f"bytes    {result.server.bytes_written_by_replay:,} written, "
            f"{agree}: the target read {result.server.bytes_read:,}"
        )
        lines.extend(_bytes_apart(result.server))
    elif result.target.untold:
        lines.append(f"unknown  the target does not tell {', '.join(result.target.untold)}")
    return [Text(line) for line in lines]


def _bytes_apart(server: ServerCounters) -> list[str]:
    """List the differences between the bytes written and the recorded ones."""
    apart = [
        f"{cause} -{bytes_:,}" for cause, bytes_ in server.bytes_not_replayed.items() if bytes_
    ]
    apart += [f"{cause} {bytes_:+,}" for cause, bytes_ in server.bytes_changed.items() if bytes_]
    return [f"         from the recording: {', '.join(apart)}"] if apart else []


def _stopped(result: ReplayResult) -> Iterator[Text]:
    if result.stopped:
        of = f" of {clock(result.planned_s)}" if result.planned_s else ""
        yield Text(
            f"STOPPED after {clock(result.duration_s)}{of}: "
            "what follows covers the requests up to then"
        )


def _sent(result: ReplayResult) -> Iterator[RenderableType]:
    answered = "all" if not result.unanswered and result.sent else f"{result.answered:,}"
    sent_for = min(result.duration_s, result.planned_s) or result.duration_s
    yield Items(
        f"sent {result.sent:,} of {result.planned:,}"
        f"   {rate(result.sent / sent_for if sent_for else 0)} for {sent_for:.1f} s"
        f"   answered {answered}"
        f"   errors {result.errors:,}{_compare_hit_ratios(result.outcomes)}"
    )
    if missing := sum(result.unanswered.values()):
        yield Text(f"ANSWERS MISSING: {missing:,} requests were sent and got none")


def _compare_hit_ratios(outcomes: Outcomes) -> str:
    replayed, recorded = outcomes.replayed_reads.hit_ratio, outcomes.recorded_reads.hit_ratio
    if replayed is None:
        return ""
    beside = f" (recorded {percent(recorded)})" if recorded is not None else ""
    return f"   hit ratio {percent(replayed)}{beside}"


def _timing(result: ReplayResult) -> Text:
    lag = result.lag_ns
    verdict = "timing held" if result.timing_held else "timing NOT held"
    return Text(
        f"{verdict}: lag p50 {duration(lag.p50)}, p99 {duration(lag.p99)}, max {duration(lag.max)}"
        f"   generator {duration(result.generator.cpu_ns_per_request)} CPU a request"
    )


def _generator(result: ReplayResult) -> Iterator[Text]:
    generator = result.generator
    if generator.busiest_share > _BUSY:
        share = percent(generator.busiest_share)
        yield Text(
            f"GENERATOR BUSY: a sending thread used {share} of a CPU, so times may be its own; "
            "use more threads, or a lower rate"
        )
    if not result.timing_held and (generator.preemptions or generator.stolen_s):
        stolen = f"{generator.stolen_s:.2f} s taken by the hypervisor"
        yield Text(f"  sending threads were preempted {generator.preemptions:,} times; {stolen}")


def _late(result: ReplayResult) -> Iterator[Text]:
    if result.late:
        share = percent(result.late / max(result.sent, 1))
        limit = duration(result.late_after_ns)
        yield Text(f"sent late: {result.late:,} requests ({share}) more than {limit}")


def _fills(result: ReplayResult) -> Iterator[Text]:
    if result.fills is not None:
        unknown = result.fills.unknown
        without = f"; {unknown:,} misses of keys whose value the recording never shows"
        yield Text(
            f"fills: {result.fills.scheduled:,} stores after misses at the target"
            f"{without if unknown else ''}"
        )


def _shared_keys(result: ReplayResult) -> Iterator[Text]:
    if result.shared_keys:
        yield Text(
            f"keys used twice: {result.shared_keys:,}, as too few of their length exist for all "
            "rounds and copies"
        )


def _expiries(result: ReplayResult) -> Iterator[Text]:
    if result.expiries is not None and result.expiries.scaled:
        scaled, distorted = result.expiries.scaled, result.expiries.distorted
        yield Text(
            f"expiry times scaled with the speed: {scaled:,}; {percent(distorted / scaled)} are off"
            " by more than 10 %, as memcached counts whole seconds"
        )


def _counts(label: str, counts: Mapping[str, int]) -> list[Text]:
    listed = ", ".join(f"{name} {amount:,}" for name, amount in counts.items() if amount)
    return [Text(f"{label}: {listed}")] if listed else []


def _flatten(differences: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {
        f"{command} {change}": amount
        for command, changes in differences.items()
        for change, amount in changes.items()
    }


def _times_table(times: Durations) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("response time", no_wrap=True)
    for quantile in _QUANTILES:
        table.add_column(quantile, justify="right", no_wrap=True)
    table.add_column("requests", justify="right", no_wrap=True)
    for command, of_command in times.by_command.items():
        cells = [_percentile(of_command, quantile) for quantile in _QUANTILES]
        table.add_row(command, *cells, f"{of_command.count:,}")
    return table


def _percentile(times: Percentiles, quantile: str) -> str:
    """Write a percentile; a dash where so few durations have none but the longest."""
    if times.count < _LEAST.get(quantile, 1):
        return "–"  # noqa: RUF001 - a dash
    at_least = "≥ " if quantile in times.at_least else ""
    return at_least + duration(getattr(times, quantile))


def _bounds(times: Durations) -> Iterator[Text]:
    if times.unanswered:
        yield Text(
            f"  {times.unanswered:,} requests without an answer count as slower than all others; "
            "≥ is how long they waited"
        )


def _composition(result: ReplayResult) -> Iterator[Text]:
    if not result.service_ns.count:
        return
    if not result.wire_ns.count:
        yield Text(f"  of which send to answer {_percentile(result.service_ns, 'p50')} p50")
        return
    parts = [f"the network and server {_percentile(result.wire_ns, 'p50')} p50"]
    if result.client_ns.count:
        parts.append(f"this client's wake-up {_percentile(result.client_ns, 'p50')} p50")
    yield Text(f"  of which {', '.join(parts)}")


def _observed(result: ReplayResult) -> Iterator[RenderableType]:
    """Put the client's times beside the server's account of them."""
    if result.observation is None:
        return
    total = Total()
    for interval in result.observed:
        total.add(interval)
    observed = total.finish()
    if observed is not None and observed.account is not None and observed.account.requests:
        yield Text()
        yield account_table(observed.account)
        yield Text("p50, p99 and p99.9 are means over the seconds")
        yield from _beside(result, observed.account)
        yield Text()
        yield from (Text(f"→ {verdict.text}") for verdict in observed.verdicts)
        if observed.culprits:
            yield from (Text(), culprit_table(observed))
        yield Text()
        yield Text(f"host   {describe_host(observed.host)}")
    yield from (Text(f"observed   {line}") for line in describe_observation(result.observation))


def _beside(result: ReplayResult, account: Account) -> Iterator[Text]:
    """Divide the mean response time into lag, the server's account, and the rest.

    The account counts sends, and those to other clients and of the warm-up, too. So it may be of
    other requests than the replay's, and then divides nothing.
    """
    response, service = result.response_ns.mean, result.service_ns.mean
    server = account.whole_ns / account.requests
    apart = abs(account.requests - result.answered)
    means = f"mean response {duration(response)}, at the server {duration(server)}: not divided"
    if apart > _OTHERS * max(result.answered, 1):
        yield Text(
            f"{means}, as the account has {account.requests:,} requests and the replay"
            f" {result.answered:,}"
        )
    elif server > service:
        yield Text(f"{means}, as the replay waited {duration(service)} from send to answer")
    else:
        yield Text(
            f"mean response {duration(response)}: lag {duration(max(response - service, 0.0))}"
            f" + at the server {duration(server)} + network and client {duration(service - server)}"
        )


def _checks(checks: Sequence[Check]) -> Iterator[RenderableType]:
    if checks:
        yield Text()
        yield _checks_table(checks)


def _checks_table(checks: Sequence[Check]) -> Table:
    table = Table.grid(padding=(0, 3))
    for check in checks:
        table.add_row(
            "check", Text(check.text), describe_value(check), "pass" if check.passed else "FAIL"
        )
    return table
