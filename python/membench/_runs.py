"""Files that `replay --out` wrote → results; results, or recordings, compared with each other."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from membench import _arguments as check
from membench._causes import Accounts, ChangeVerdict, Moved, Side, explain
from membench._files import read_regular
from membench._hint import Hint
from membench._host import HostDifference, HostFacts, differing
from membench._metrics import COMMANDS, RATIOS, measured, require_known
from membench._profile import Profile, open as open_profile
from membench._recordings import (
    QUANTILES,
    TIMES,
    conditions_differing,
    mean_of,
    measured_in,
    metrics_of,
    parts_outside,
)
from membench._replay import ReplayResult
from membench._report import ProfileReport, report_on
from membench._results import build
from membench._shown import Shown
from membench.errors import UsageError

#: Version of the fields of a run's file.
SCHEMA_VERSION = 1
# More than any figure of a result, so that sums of several stay finite.
_MOST_NUMBER = 1e100
# A result has some 100 kB.
_MOST_BYTES = 64 << 20
# Pairs of runs from which an interval is given.
_LEAST_PAIRS = 5
_CONFIDENCE = 0.95
_LIMIT = re.compile(r"\s*([\w.]+)\s*:\s*([+-])\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*%\s*")
_EXAMPLES = "`get.p99:+5%` and `hit_ratio:-1%` are limits of a change"


@dataclass(frozen=True, slots=True)
class ChangeBounds:
    """Bounds of a change, from pairs of runs.

    They are order statistics of the pairs' changes, as in the sign test, which assumes no
    distribution.

    Attributes:
        low: Lower bound of the change.
        high: Upper bound.
        confidence: Probability that the bounds enclose the median change, 0…1.
    """

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Change:
    """One metric in two sets of runs.

    Attributes:
        metric: Its name, as `--check` takes it: `get.p99`, `hit_ratio`.
        a: Median over the runs of A, ns or a ratio; None if no run measured it.
        b: Median over the runs of B.
        change: B over A less 1, the median over the pairs of runs; None without both, or if A is 0.
        bounds: Bounds of the change; None with fewer than five pairs, or without a change.
        a_at_least: True if a figure of A is a lower bound, as requests got no answer.
        b_at_least: True if a figure of B is a lower bound.
        is_from_zero: True if every run measured it, and it was 0 in each of A.
    """

    metric: str
    a: float | None
    b: float | None
    change: float | None
    bounds: ChangeBounds | None
    a_at_least: bool = False
    b_at_least: bool = False
    is_from_zero: bool = False


@dataclass(frozen=True, slots=True)
class ChangeCheck:
    """A limit of a change, and what was found.

    Attributes:
        text: The limit, as the user wrote it.
        limit: The largest change, or the smallest if it is negative.
        change: The change found; None if there is none to compare.
        passed: True if the median change is within the limit, and no missing answer could put it
            beyond.
    """

    text: str
    limit: float
    change: float | None
    passed: bool


@dataclass(frozen=True, slots=True)
class Comparison(Shown):
    """Two sets of runs, or two recordings, side by side.

    Attributes:
        runs_a: Number of runs of A; 1 of a recording.
        runs_b: Number of runs of B.
        target_a: Target of A's first run, with its version; of a recording its profile.
        target_b: Target of B's first run.
        changes: Metrics that both sides measured, each percentile with enough requests for it.
        remarks: Conditions that differ between runs, and runs that fell short.
        held: True if every run held its timing and got every answer; of recordings, if both are
            complete.
        checks: The limits asked for.
        verdicts: The cause of each metric's change, in the order of the changes.
        host_differences: Facts about the hosts, or the servers there, that differ.
        of: The kind of what was compared.
    """

    runs_a: int
    runs_b: int
    target_a: str
    target_b: str
    changes: tuple[Change, ...]
    remarks: tuple[str, ...]
    held: bool
    checks: tuple[ChangeCheck, ...] = ()
    verdicts: tuple[ChangeVerdict, ...] = ()
    host_differences: tuple[HostDifference, ...] = ()
    of: Literal["replays", "recordings"] = "replays"

    def _report(self) -> str:
        from membench.report.compare import render_comparison  # noqa: PLC0415 - only for what is shown
        from membench.report.text import as_text  # noqa: PLC0415 - only for what is shown

        return as_text(render_comparison(self))

    @property
    def passed(self) -> bool:
        """True if every limit is kept."""
        return all(one.passed for one in self.checks)


Run = ReplayResult | Profile | str | os.PathLike[str]
"""A result, or the path of a file that `replay --out` wrote; a profile, or its path."""


def open_run(path: str | os.PathLike[str]) -> ReplayResult:
    """Read the result of a replay from the file that `replay --out` wrote.

    Raises:
        UsageError: It is no such file, or another version of membench wrote it.
    """
    file = check.path("path", path)
    wrong = UsageError(f"{file} holds no result of a replay", "name a file of `replay --out`")
    try:
        found = json.loads(
            read_regular(file, _MOST_BYTES),
            parse_constant=_refused,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except UsageError:
        raise
    except (ValueError, RecursionError) as error:
        raise wrong from error
    if not isinstance(found, dict) or "schema_version" not in found:
        raise wrong
    version = found.pop("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise UsageError(
            f"{file} has the version {str(version)[:20]}, not {SCHEMA_VERSION}",
            "read it with the membench that wrote it",
        )
    try:
        result: ReplayResult = build(ReplayResult, found, are_others_allowed=True)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise wrong from error
    return result


def _refused(constant: str) -> float:
    raise ValueError(constant)


def _bounded(text: str) -> int:
    number = int(text)
    if abs(number) >= 1 << 64:
        raise ValueError(text)
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not abs(number) < _MOST_NUMBER:
        raise ValueError(text)
    return number


def compare(
    a: Run | Sequence[Run],
    b: Run | Sequence[Run],
    *,
    limits: Iterable[str] = (),
    across_hosts: bool = False,
) -> Comparison:
    """Compare replays of one recording, or two recordings: what changed from A to B, and why.

    The cause of a change is read from what was observed meanwhile: `record(observe="requests")`,
    `replay(observe=True)`.

    The sample is the run: the percentiles of one run say nothing of how far two runs of the same
    server are apart. So several runs of each are best made in turns (A B, B A, …), and paired in
    the order given. With five pairs or more each change has an interval.

    Args:
        a: A result, or the file of one, or several of them; or a profile.
        b: As many of the other side; or another profile.
        limits: Limits of changes: `get.p99:+5%`, `hit_ratio:-1%`.
        across_hosts: Compare what was measured on different hosts, too.

    Raises:
        UsageError: A file holds no result, a limit is none, the sides differ in number or kind, or
            they were measured on different hosts.
        ProfileError: A profile is damaged.
    """
    limits = check.texts("limits", limits)
    check.flag("across_hosts", across_hosts)
    recordings = [_recording(side) for side in (a, b)]
    if all(recordings):
        first, second = (report_on(one) for one in recordings if one is not None)
        return _compare_recordings(first, second, limits, across_hosts)
    if any(recordings):
        raise UsageError(
            "a recording cannot be compared with a replay", "give two profiles, or runs of `replay`"
        )
    wanted = [_Limit.parse(text) for text in limits]
    runs_a, runs_b = results("a", a), results("b", b)
    if len(runs_a) != len(runs_b):
        raise UsageError(
            f"{len(runs_a)} runs cannot be paired with {len(runs_b)}", "give as many of each"
        )
    _require_one_host([run.host for run in (*runs_a, *runs_b)], across_hosts)
    changes = tuple(_changes(runs_a, runs_b))
    return Comparison(
        runs_a=len(runs_a),
        runs_b=len(runs_b),
        target_a=_target(runs_a[0]),
        target_b=_target(runs_b[0]),
        changes=changes,
        remarks=(*_remarks(runs_a, runs_b), *_hosts_unknown(runs_a[0].host, runs_b[0].host)),
        held=all(run.held for run in (*runs_a, *runs_b)),
        checks=tuple(one.check(_change(one.metric, runs_a, runs_b)) for one in wanted),
        verdicts=tuple(_explained(changes, runs_a, runs_b)),
        host_differences=tuple(differing(runs_a[0].host, runs_b[0].host)),
    )


def _compare_recordings(
    a: ProfileReport, b: ProfileReport, limits: Sequence[str], across_hosts: bool
) -> Comparison:
    wanted = [_Limit.parse(text, TIMES) for text in limits]
    _require_one_host([a.host, b.host], across_hosts)
    changes = tuple(_recorded_change(metric, a, b) for metric in metrics_of(a, b))
    sides = [_observed(report) for report in (a, b)]
    verdicts = []
    for change in changes:
        metric = tuple(change.metric.split("."))
        means = [mean_of(report, metric) for report in (a, b)]
        by_ns = means[1] - means[0] if means[0] is not None and means[1] is not None else None
        moved = Moved(
            metric=change.metric,
            change=change.change,
            is_certain=True,
            by_ns=_by(change) if by_ns is not None else None,
            mean_by_ns=by_ns,
            is_of_client=False,
            excluded=parts_outside(metric),
        )
        verdicts.append(explain(moved, *sides))
    return Comparison(
        runs_a=1,
        runs_b=1,
        target_a=a.name,
        target_b=b.name,
        changes=changes,
        remarks=(*conditions_differing(a, b), *_hosts_unknown(a.host, b.host)),
        held=a.complete is True and b.complete is True,
        checks=tuple(one.check(_recorded_change(one.metric, a, b)) for one in wanted),
        verdicts=tuple(verdicts),
        host_differences=tuple(differing(a.host, b.host)),
        of="recordings",
    )


def _observed(report: ProfileReport) -> Side | None:
    observed = Accounts()
    observed.add(iter([report.observed] if report.observed is not None else []))
    return observed.finish()


def _recorded_change(metric: tuple[str, ...], a: ProfileReport, b: ProfileReport) -> Change:
    first, second = measured_in(a, metric), measured_in(b, metric)
    return Change(
        metric=".".join(metric),
        a=first,
        b=second,
        change=second / first - 1 if first and second is not None else None,
        bounds=None,
        is_from_zero=first == 0 and second is not None,
    )


def _recording(given: Any) -> Profile | None:  # noqa: ANN401 - checked here
    """Return a side that is a profile, or its path; None of any other."""
    if isinstance(given, Profile):
        return given
    if isinstance(given, (str, os.PathLike)):
        path = check.path("a side", given)
        if not path.exists():
            raise UsageError(f"{path}: no such file", "name results of `replay --out`, or profiles")
        if path.is_dir():
            return open_profile(path)
    return None


def _require_one_host(hosts: Sequence[HostFacts | None], across_hosts: bool) -> None:
    """Refuse what was measured on different hosts, as far as that is known.

    Raises:
        UsageError: The hosts differ, and that is not asked for.
    """
    known = [host for host in hosts if host is not None and host.id is not None]
    if across_hosts or len({host.id for host in known}) <= 1:
        return
    told = {host.id: f"{host.cpus} CPUs, Linux {host.kernel}" for host in known}
    raise UsageError(
        f"measured on different hosts: {'; '.join(told.values())}",
        Hint("`{across_hosts}` compares them, and names the facts that differ"),
    )


def _hosts_unknown(a: HostFacts | None, b: HostFacts | None) -> Iterator[str]:
    """Tell where it is not known whether both sides were measured on one host."""
    unknown = [side for side, host in (("A", a), ("B", b)) if host is None or host.id is None]
    if unknown:
        yield f"the host of {' and '.join(unknown)} is not known: it may be another one"


def _explained(
    changes: Sequence[Change], runs_a: Sequence[ReplayResult], runs_b: Sequence[ReplayResult]
) -> Iterator[ChangeVerdict]:
    """Yield the cause of each change, from what was observed of the targets."""
    sides = []
    for runs in (runs_a, runs_b):
        observed = Accounts()
        for run in runs:
            observed.add(iter(run.observed))
        sides.append(observed.finish())
    lags = [statistics.fmean(run.lag_ns.mean for run in runs) for runs in (runs_a, runs_b)]
    # The account is of all requests, so it is compared with the mean of all.
    whole = [_mean("response", runs) for runs in (runs_a, runs_b)]
    overall = whole[1] - whole[0] if whole[0] is not None and whole[1] is not None else None
    for change in changes:
        means = [_mean(change.metric, runs) for runs in (runs_a, runs_b)]
        by_ns = means[1] - means[0] if means[0] is not None and means[1] is not None else None
        bounds = change.bounds
        is_certain = bounds is None or bounds.low > 0 or bounds.high < 0
        moved = Moved(
            metric=change.metric,
            change=change.change,
            is_certain=is_certain,
            by_ns=_by(change) if by_ns is not None else None,
            mean_by_ns=overall,
            lag_by_ns=lags[1] - lags[0],
            is_of_client=True,
        )
        yield explain(moved, *sides)


def _by(change: Change) -> float | None:
    return change.b - change.a if change.a is not None and change.b is not None else None


def _mean(metric: str, runs: Sequence[ReplayResult]) -> float | None:
    """Return the mean of the response time that a metric is of, over runs, ns."""
    if metric in {".".join(ratio) for ratio in RATIOS} or metric.startswith("lag."):
        return None
    name = metric.split(".", maxsplit=1)[0]
    times = [run.response_ns for run in runs]
    of = [one if name == "response" else one.by_command.get(name) for one in times]
    means = [one.mean for one in of if one is not None and one.count]
    return statistics.fmean(means) if means else None


def results(name: str, given: Any) -> list[ReplayResult]:  # noqa: ANN401 - checked here
    """Return results, read from their files if they are named.

    Raises:
        UsageError: There is none, or a file holds none.
    """
    single = isinstance(given, (ReplayResult, str, os.PathLike))
    listed = [given] if single else check.several(name, given)
    if not listed:
        raise UsageError(f"`{name}` names no run", "give a file of `replay --out`")
    return [one if isinstance(one, ReplayResult) else open_run(one) for one in listed]


def _target(run: ReplayResult) -> str:
    version = f" (memcached {run.target.version})" if run.target.version else ""
    return f"{run.target.name}{version}"


def _changes(runs_a: Sequence[ReplayResult], runs_b: Sequence[ReplayResult]) -> Iterator[Change]:
    runs = (*runs_a, *runs_b)
    for name in ("response", *COMMANDS):
        durations = [_count(run, name) for run in runs]
        for quantile, least in QUANTILES.items():
            if min(durations) >= least:
                yield _change((name, quantile), runs_a, runs_b)
    for metric in (("lag", "p99"), *RATIOS):
        found = _change(metric, runs_a, runs_b)
        if found.a is not None and found.b is not None:
            yield found


def _count(run: ReplayResult, name: str) -> int:
    """Return how many response times a run has: of a command, or in all."""
    times = run.response_ns
    found = times if name == "response" else times.by_command.get(name)
    return found.count if found is not None else 0


def _change(
    metric: tuple[str, ...], runs_a: Sequence[ReplayResult], runs_b: Sequence[ReplayResult]
) -> Change:
    of_a, of_b = ([measured(run, metric) for run in runs] for runs in (runs_a, runs_b))
    a, b = ([value for value, _ in found if value is not None] for found in (of_a, of_b))
    is_whole = len(a) == len(runs_a) and len(b) == len(runs_b)
    pairs = zip(a, b, strict=True) if is_whole else ()
    changes = [after / before - 1 for before, after in pairs if before]
    is_paired = is_whole and len(changes) == len(a)
    return Change(
        metric=".".join(metric),
        a=statistics.median(a) if a else None,
        b=statistics.median(b) if b else None,
        change=statistics.median(changes) if is_paired else None,
        bounds=_bounds(changes) if is_paired else None,
        a_at_least=any(is_bound for _, is_bound in of_a),
        b_at_least=any(is_bound for _, is_bound in of_b),
        is_from_zero=is_whole and not any(a),
    )


def _bounds(changes: Sequence[float]) -> ChangeBounds | None:
    """Return the narrowest interval of order statistics that reaches the confidence, or the widest.

    The `rank`th smallest and largest of n enclose the median with 1 - 2 P(X < rank), where X is
    binomial with n tries of 1/2. H. A. David, H. N. Nagaraja: Order Statistics, 3rd ed., §7.1.
    """
    number = len(changes)
    if number < _LEAST_PAIRS:
        return None

    def confidence(rank: int) -> float:
        below = sum(math.comb(number, less) for less in range(rank))
        return 1 - (2 * below) / (1 << number)

    ranks = [rank for rank in range(1, number // 2 + 1) if confidence(rank) >= _CONFIDENCE]
    rank = max(ranks, default=1)
    ordered = sorted(changes)
    return ChangeBounds(ordered[rank - 1], ordered[-rank], confidence(rank))


def _remarks(runs_a: Sequence[ReplayResult], runs_b: Sequence[ReplayResult]) -> Iterator[str]:
    conditions: dict[str, Callable[[ReplayResult], str]] = {
        "profile": lambda run: f"{Path(run.profile).name} ({run.planned:,} requests)",
        "length of the schedule": lambda run: f"{run.planned_s:.1f} s",
        "requests left out": lambda run: f"{sum(run.skipped.values()):,}",
        "pacing": lambda run: run.pacing,
        "options": lambda run: ", ".join(f"{name} {text}" for name, text in run.load.items()),
        "seed of the values": lambda run: str(run.seed),
        "sample": lambda run: str(run.sample),
        "warm-up": lambda run: "none" if run.warm is None else f"{run.warm.keys:,} keys",
        "target's version": lambda run: run.target.version or "unknown",
        "target's threads": lambda run: run.target.threads or "unknown",
        "sending threads": lambda run: str(run.generator.threads),
    }
    for what, tell in conditions.items():
        a, b = (sorted({tell(run) for run in runs}) for runs in (runs_a, runs_b))
        if a != b or len(a) > 1:
            yield f"{what} differs: {', '.join(a)} in A, {', '.join(b)} in B"
    for side, runs in (("A", runs_a), ("B", runs_b)):
        shortfalls = {
            "did not hold the timing": sum(not run.timing_held for run in runs),
            "were stopped early": sum(run.stopped for run in runs),
            "have requests without an answer": sum(any(run.unanswered.values()) for run in runs),
        }
        for what, number in shortfalls.items():
            if number:
                yield f"{number} of {len(runs)} runs of {side} {what}"


@dataclass(frozen=True, slots=True)
class _Limit:
    text: str
    metric: tuple[str, ...]
    is_ceiling: bool
    limit: float

    @classmethod
    def parse(cls, text: str, times: Sequence[str] = ()) -> _Limit:
        match = _LIMIT.fullmatch(text)
        if match is None:
            raise UsageError(f"not a limit of a change: `{text}`", _EXAMPLES)
        metric = tuple(match[1].split("."))
        if times and metric == ("errors",):
            raise UsageError(f"no recording has `errors`: `{text}`", _EXAMPLES)
        if metric not in RATIOS:
            require_known("limit of a change", text, metric, times)
        return cls(text, metric, match[2] == "+", float(f"{match[2]}{match[3]}") / 100)

    def check(self, found: Change) -> ChangeCheck:
        return ChangeCheck(self.text, self.limit, found.change, self._is_kept(found))

    def _is_kept(self, found: Change) -> bool:
        """Return true if no missing answer could put the median change beyond the limit."""
        if self.is_ceiling and found.b_at_least:
            return False
        if not self.is_ceiling and found.a_at_least:
            return False
        if found.change is None:
            # A ratio of 0 in every run of A has no relative change.
            return found.is_from_zero and (found.b == 0 or not self.is_ceiling)
        return found.change <= self.limit if self.is_ceiling else found.change >= self.limit
