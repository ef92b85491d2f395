"""Two recordings → what changed from one to the other, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from membench._analysis.distributions import Quantiles
from membench._report import ProfileReport
from membench.report.numbers import rate

#: Figures of each command that are compared, with the durations that each takes.
QUANTILES = {"p50": 1, "p90": 10, "p99": 100, "p999": 1000}
#: Times of a recording that are compared besides those of commands.
TIMES = ("server", "queue")
# Rates of requests that differ less are the same.
_SAME_RATE = 0.05
# A queue time ends when the request was read, and a server time begins then.
_AFTER_READ = frozenset({"memcached", "send", "parked"})
_BEFORE_READ = frozenset({"wake_up", "accept", "read"})


def times_of(report: ProfileReport) -> dict[str, Quantiles]:
    """Return the distributions of times in a recording: `server`, `queue`, and by command, ns."""
    times = report.times
    if times is None:
        return {}
    found = {one.command: one.server_ns for one in times.server_ns_by_command}
    whole = {"server": times.server_ns, "queue": times.queue_ns}
    return {name: one for name, one in whole.items() if one is not None} | found


def measured_in(report: ProfileReport, metric: tuple[str, ...]) -> float | None:
    """Look up `hit_ratio`, or a quantile: `get.p99`, `queue.p50`; None if it was not measured."""
    if metric == ("hit_ratio",):
        return report.hits.all.ratio if report.hits is not None else None
    if len(metric) != len(("get", "p99")):
        return None
    found = times_of(report).get(metric[0])
    if found is None or not found.count:
        return None
    return float(getattr(found, metric[1]))


def metrics_of(a: ProfileReport, b: ProfileReport) -> Iterator[tuple[str, ...]]:
    """Yield the metrics that both recordings measured, each quantile with enough requests."""
    first, second = times_of(a), times_of(b)
    for name in first:
        if name in second:
            durations = min(first[name].count, second[name].count)
            for quantile, least in QUANTILES.items():
                if durations >= least:
                    yield name, quantile
    if measured_in(a, ("hit_ratio",)) is not None and measured_in(b, ("hit_ratio",)) is not None:
        yield ("hit_ratio",)


def mean_of(report: ProfileReport, metric: tuple[str, ...]) -> float | None:
    """Return the mean of the time that a metric is of, ns; None if it is no time."""
    found = times_of(report).get(metric[0])
    return found.mean if found is not None else None


def parts_outside(metric: tuple[str, ...]) -> frozenset[str]:
    """Return the parts of a request's time that are none of the time that a metric is of."""
    return _AFTER_READ if metric[0] == "queue" else _BEFORE_READ


def conditions_differing(a: ProfileReport, b: ProfileReport) -> Iterator[str]:
    """Name the conditions that differ between two recordings, and what makes them unlike."""
    conditions: dict[str, Callable[[ProfileReport], str]] = {
        "source": lambda one: one.source,
        "sample": lambda one: str(one.sample),
        "servers' versions": lambda one: ", ".join(
            sorted({server.version or "unknown" for server in one.servers})
        ),
        "commands": lambda one: ", ".join(sorted(command.command for command in one.commands)),
    }
    for what, tell in conditions.items():
        first, second = tell(a), tell(b)
        if first != second:
            yield f"{what} differs: {first} in A, {second} in B"
    rates = [one.requests / one.duration_s if one.duration_s > 0 else 0.0 for one in (a, b)]
    if abs(rates[1] - rates[0]) > _SAME_RATE * max(rates):
        yield f"rate of requests differs: {rate(rates[0])} in A, {rate(rates[1])} in B"
    for side, report in (("A", a), ("B", b)):
        if report.complete is not True:
            state = "is incomplete" if report.complete is False else "was not sealed"
            yield f"{side} {state}"
