"""Replay a profile against a running memcached, as recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from membench import _native
from membench._profile import Summary
from membench._results import from_json
from membench.errors import UsageError
from membench._sample import ALL, Sample

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from membench._profile import Profile

Counts = dict[str, int]
"""Causes, outcomes or counters, each with how many."""

_CHECK = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>)\s*([\d.]+)\s*(ns|us|µs|ms|s|%)?\s*")
_UNITS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "%": 0.01}
_DURATIONS = ("response", "service", "wire", "client", "lag")
_QUANTILES = ("p50", "p90", "p95", "p99", "p999", "max", "mean")
_RATIOS = ("errors", "hit_ratio")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of a duration, ns, and how many were measured."""

    p50: int
    p90: int
    p95: int
    p99: int
    p999: int
    max: int
    mean: float
    count: int


@dataclass(frozen=True, slots=True)
class Durations(Percentiles):
    """Percentiles over all requests, and by command (`mget`: gets of several keys)."""

    by_command: dict[str, Percentiles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How operations ended, by command: as recorded, as replayed, and those that differ."""

    recorded: dict[str, Counts]
    replayed: dict[str, Counts]
    differences: dict[str, Counts]


@dataclass(frozen=True, slots=True)
class Generator:
    """What making the load took.

    Attributes:
        cpu_ns_per_request: CPU time of the sending threads, waiting included, ns.
        cpu_share: CPUs the sending threads used.
        threads: Sending threads.
        guard_ns: How long before an intended time they stopped sleeping, ns.
    """

    cpu_ns_per_request: float
    cpu_share: float
    threads: int
    guard_ns: int


@dataclass(frozen=True, slots=True)
class Target:
    """The server replayed against."""

    name: str
    version: str | None
    threads: str | None


@dataclass(frozen=True, slots=True)
class ServerCounters:
    """What the target counted meanwhile.

    Attributes:
        counters: How much each of its counters grew.
        bytes_written_by_replay: Bytes of requests handed to the kernel.
        bytes_read: Bytes the target read, but for questions about itself.
        bytes_agree: Whether those agree.
        bytes_not_replayed: Recorded bytes of the requests skipped or not sent, by cause.
        bytes_changed: How much longer the requests sent were than recorded, by what was made anew.
            The recorded bytes less those not replayed, with these, are the bytes written.
    """

    counters: Counts
    bytes_written_by_replay: int
    bytes_read: int
    bytes_agree: bool
    bytes_not_replayed: Counts
    bytes_changed: Counts


@dataclass(frozen=True, slots=True)
class Warm:
    """What was stored before the start: keys, bytes of values, and what went wrong."""

    keys: int
    bytes: int
    refused: int
    unseen_sizes: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class Check:
    """A threshold and what was measured; durations in ns, ratios from 0 to 1."""

    text: str
    limit: float
    value: float | None
    passed: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How a replay stands; rate in requests per second, durations in ns over the last second."""

    elapsed_s: float
    planned: int
    sent: int
    answered: int
    errors: int
    rate: float
    response_p99_ns: int
    lag_p99_ns: int


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did and what it took.

    Attributes:
        planned: Requests of the recording that can be sent.
        sent: Requests handed to the kernel.
        answered: Requests answered.
        suppressed: Requests sent for which no answer was due.
        errors: Requests that failed: no answer, not sent, or an error the recording does not have.
        new_errors: Operations that ended in an error the recording does not have.
        unexpected: Answers that fit no request.
        reconnects: Connections made again after the target closed them.
        skipped: Requests of the recording that are not replayed, by cause.
        unsent: Planned requests not sent, by cause.
        unanswered: Sent requests without the answer due, by cause.
        unknown_cas: Requests whose cas value the target had not returned.
        response_ns: Intended send to parsed answer.
        service_ns: Actual send to parsed answer.
        wire_ns: Actual send to the kernel's receive stamp.
        client_ns: The kernel's receive stamp to parsed answer.
        lag_ns: Intended to actual send.
        outcomes: How operations ended.
        generator: What making the load took.
        timing_held: Whether all was sent and the 99th percentile of lag is at most 1 ms.
        stopped: Whether the run was stopped before its end.
        duration_s: Start of the schedule to last answer, s.
        target: What it ran against.
        server: What the target counted; None if it could not be asked any more.
        warm: What was stored beforehand; None unless asked for.
        checks: The thresholds asked for.
        sample: Which share of the traffic was recorded, and so replayed.
    """

    planned: int
    sent: int
    answered: int
    suppressed: int
    errors: int
    new_errors: int
    unexpected: int
    reconnects: int
    skipped: Counts
    unsent: Counts
    unanswered: Counts
    unknown_cas: int
    response_ns: Durations
    service_ns: Durations
    wire_ns: Durations
    client_ns: Durations
    lag_ns: Durations
    outcomes: Outcomes
    generator: Generator
    timing_held: bool
    stopped: bool
    duration_s: float
    target: Target
    server: ServerCounters | None
    warm: Warm | None
    checks: tuple[Check, ...] = ()
    sample: Sample = ALL

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def replay(  # noqa: PLR0913 - options are keywords
    profile: Profile | str | os.PathLike[str],
    target: str,
    *,
    warm: bool = False,
    pacing: str = "recorded",
    allow_nonempty: bool = False,
    allow_admin: bool = False,
    allow_sampled: bool = False,
    seed: int = 1,
    receive_stamps: bool = True,
    threads: int = 1,
    checks: Sequence[str] = (),
    on_interval: Callable[[Progress], object] | None = None,
) -> ReplayResult:
    """Send a profile's requests to `target` at their recorded times.

    Args:
        profile: A profile, or its path.
        target: `HOST:PORT` of a memcached.
        warm: Store first every item that the recording proves present at its start.
        pacing: `recorded`, `speed=2` or `rate=50000/s`.
        allow_nonempty: Replay against a target that holds items or has clients.
        allow_admin: Replay `flush_all` and `verbosity`, too.
        allow_sampled: Replay a sample, which is a fraction of the load; then there are no checks.
        seed: What values are made from.
        receive_stamps: Let the kernel stamp what arrives (about 3 % more CPU).
        threads: Sending threads, each with its share of the connections.
        checks: Thresholds such as `get.p99<1ms`, `lag.p99<5ms`, `errors<0.01%`, `hit_ratio>0.95`.
        on_interval: Called once a second; the run ends when it returns False or raises.

    Raises:
        TargetError: The target cannot be reached, or looks like production.
        UsageError: An option is wrong.
    """
    thresholds = [_Threshold.parse(text) for text in checks]
    path = Path(getattr(profile, "path", None) or str(profile))
    sample = from_json(Summary, _native.Profile.open(path).info_json()).sample
    if thresholds and not sample.is_all:
        raise UsageError(
            f"{path} holds {sample}: a check would speak of another load than the recorded one",
            "record without a sample to check times and ratios",
        )
    report = _native.replay(
        str(path),
        target,
        pacing=pacing,
        warm=warm,
        allow_nonempty=allow_nonempty,
        allow_admin=allow_admin,
        allow_sampled=allow_sampled,
        seed=seed,
        receive_stamps=receive_stamps,
        threads=threads,
        on_interval=_progress_of(on_interval) if on_interval else None,
    )
    result = from_json(ReplayResult, report)
    measured = tuple(threshold.check(result) for threshold in thresholds)
    return replace(result, checks=measured, sample=sample)


def hit_ratio(outcomes: Mapping[str, Counts]) -> float | None:
    """Share of looked-up keys that were found; None if none was looked up.

    Args:
        outcomes: `Outcomes.recorded` or `Outcomes.replayed`.
    """
    reads = [outcomes.get(command, {}) for command in ("get", "gets", "gat", "gats", "mg")]
    hits = sum(counts.get(name, 0) for counts in reads for name in ("hit", "stale"))
    misses = sum(counts.get(name, 0) for counts in reads for name in ("miss", "won", "suppressed"))
    return hits / (hits + misses) if hits + misses else None


@dataclass(frozen=True, slots=True)
class _Threshold:
    text: str
    metric: tuple[str, ...]
    relation: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> _Threshold:
        match = _CHECK.fullmatch(text)
        if match is None:
            raise UsageError(f"no check: {text}", "such as `get.p99<1ms` or `errors<0.01%`")
        metric = tuple(match[1].split("."))
        known = metric[-1] in _QUANTILES if len(metric) > 1 else metric[0] in _RATIOS
        is_time = match[4] in ("ns", "us", "µs", "ms", "s")
        if not known or len(metric) > 3 or (len(metric) > 1) != is_time:  # noqa: PLR2004
            raise UsageError(f"no check: {text}", "such as `get.p99<1ms` or `errors<0.01%`")
        return cls(text, metric, match[2], float(match[3]) * _UNITS.get(match[4] or "", 1.0))

    def check(self, result: ReplayResult) -> Check:
        value = _measured(result, self.metric)
        below = value is not None and value < self.limit
        above = value is not None and value > self.limit
        equal = value is not None and value == self.limit
        passed = {"<": below, ">": above, "<=": below or equal, ">=": above or equal}
        return Check(self.text, self.limit, value, passed[self.relation])


def _measured(result: ReplayResult, metric: tuple[str, ...]) -> float | None:
    """Look up `errors`, `hit_ratio`, or a duration: `get.p99`, `lag.p99`, `service.get.p99`."""
    if metric == ("errors",):
        return result.errors / max(result.planned, 1)
    if metric == ("hit_ratio",):
        return hit_ratio(result.outcomes.replayed)
    *path, quantile = metric
    kind = path.pop(0) if path[0] in _DURATIONS else "response"
    durations: Durations = getattr(result, f"{kind}_ns")
    percentiles = durations.by_command.get(path[0]) if path else durations
    return None if percentiles is None else float(getattr(percentiles, quantile))


def _progress_of(callback: Callable[[Progress], object]) -> Callable[[str], bool]:
    def tell(text: str) -> bool:
        return callback(from_json(Progress, text)) is not False

    return tell
