"""Profile and target → the recorded requests sent again, their times and outcomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from threading import Event

from membench import _arguments as check, _native
from membench._host import HostFacts, read_host
from membench._metrics import Check, Threshold
from membench._observe.beside import ObservedBeside
from membench._observe.observe import ObserveInterval
from membench._observe.servers import local_port, process_at
from membench._observe.target import BesideReplay
from membench._profile import Profile, Summary, open_native
from membench._reads import Reads
from membench._results import from_json
from membench._sample import ALL, Sample
from membench._shown import Shown
from membench.errors import UsageError

Counts = dict[str, int]
"""Amounts by name of a cause, an outcome or a counter."""

_MOST_SEED = (1 << 64) - 1
_MOST_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of a duration.

    A request without an answer counts as slower than every answered one. A percentile that falls on
    such a request is a lower bound: how long it waited, or the longest answered duration if that is
    more.

    Attributes:
        p50: Median, ns.
        p90: 90 % are at most this, ns.
        p95: 95 % are at most this, ns.
        p99: 99 % are at most this, ns.
        p999: 99.9 % are at most this, ns.
        max: Longest, ns.
        mean: Arithmetic mean, ns.
        count: Durations measured, those of unanswered requests included.
        unanswered: Requests among them that got no answer.
        at_least: Names of the figures above that are lower bounds.
    """

    p50: int
    p90: int
    p95: int
    p99: int
    p999: int
    max: int
    mean: float
    count: int
    unanswered: int = 0
    at_least: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Durations(Percentiles):
    """Percentiles of a duration over all requests and by command.

    Attributes:
        by_command: Percentiles of each command; a `get` of several keys is `mget`.
    """

    by_command: dict[str, Percentiles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Outcomes of operations, by command.

    Attributes:
        recorded: Outcomes in the recording.
        replayed: Outcomes in the replay.
        differences: Operations whose outcome changed, as `hit -> miss`.
        recorded_reads: Keys looked up in the recording, by result.
        replayed_reads: Keys looked up in the replay, by result.
    """

    recorded: dict[str, Counts]
    replayed: dict[str, Counts]
    differences: dict[str, Counts]
    recorded_reads: Reads
    replayed_reads: Reads


@dataclass(frozen=True, slots=True)
class Generator:
    """The cost of making the load.

    Attributes:
        cpu_ns_per_request: CPU time of the sending threads, waiting included, ns.
        cpu_share: CPUs the sending threads used.
        threads: Sending threads.
        guard_ns: Time before an intended send at which they stopped sleeping, ns.
    """

    cpu_ns_per_request: float
    cpu_share: float
    threads: int
    guard_ns: int


@dataclass(frozen=True, slots=True)
class Target:
    """The server replayed against.

    Attributes:
        name: `HOST:PORT` or `unix:PATH`, as the user named it.
        version: Its version; None if it did not say.
        threads: Its worker threads; None if it did not say.
    """

    name: str
    version: str | None
    threads: str | None


@dataclass(frozen=True, slots=True)
class ServerCounters:
    """The target's own counters over the replay.

    Recorded bytes less `bytes_not_replayed` plus `bytes_changed` are `bytes_written_by_replay`.

    Attributes:
        counters: Growth of each of the target's counters.
        bytes_written_by_replay: Bytes of requests handed to the kernel.
        bytes_read: Bytes the target read, without those of questions about itself.
        bytes_agree: True if the two are equal.
        bytes_not_replayed: Recorded bytes of requests that were skipped or not sent, by cause.
        bytes_changed: Growth of the sent requests over the recorded ones, by regenerated part,
            bytes.
    """

    counters: Counts
    bytes_written_by_replay: int
    bytes_read: int
    bytes_agree: bool
    bytes_not_replayed: Counts
    bytes_changed: Counts


@dataclass(frozen=True, slots=True)
class Warm:
    """Items stored before the start.

    Attributes:
        keys: Items to store.
        bytes: Bytes of their values.
        refused: Items that the target did not store.
        unseen_sizes: Items whose size the recording does not show: stored with 100 bytes, counters
            with 10 digits.
        bytes_written: Bytes of the requests that stored them.
    """

    keys: int
    bytes: int
    refused: int
    unseen_sizes: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a running replay.

    Attributes:
        elapsed_s: Time since the start, s.
        planned_s: Length of the schedule, s.
        planned: Requests to send in all.
        sent: Requests sent.
        answered: Requests answered.
        errors: Requests that failed.
        rate: Requests sent per second, over the last second.
        response_p99_ns: 99th percentile of the response time over the last second, ns; None if
            nothing was answered.
        lag_p99_ns: 99th percentile of the lag over the last second, ns; None if nothing was sent.
        histogram_log: Lines of an interval log of HDR histograms: response times of answered
            requests and lags of the last second, ns. None unless asked for.
    """

    elapsed_s: float
    planned_s: float
    planned: int
    sent: int
    answered: int
    errors: int
    rate: float
    response_p99_ns: int | None
    lag_p99_ns: int | None
    histogram_log: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayResult(Shown):
    """Results of a replay.

    Attributes:
        planned: Requests of the recording that can be sent.
        planned_s: Length of the schedule, s.
        sent: Requests handed to the kernel.
        answered: Requests answered.
        suppressed: Requests sent that expect no answer (`noreply`, quiet commands).
        errors: Requests that failed: unanswered, not sent, or ended in an error that the recording
            does not have.
        new_errors: Operations that ended in an error that the recording does not have.
        unexpected: Answers that match no request.
        reconnects: Connections opened again after the target closed them.
        skipped: Requests of the recording that are not replayed, by cause.
        unsent: Planned requests that were not sent, by cause.
        unanswered: Sent requests whose answer is missing, by cause.
        unknown_cas: Requests whose cas value the target had not returned.
        response_ns: Response time: intended send to parsed answer, ns.
        service_ns: Service time: actual send to parsed answer, ns.
        wire_ns: Actual send to the kernel's receive stamp, ns.
        client_ns: The kernel's receive stamp to parsed answer, ns.
        lag_ns: Intended to actual send, ns.
        outcomes: Outcomes of operations, recorded and replayed.
        generator: The cost of making the load.
        timing_held: True if all that was due was sent and the 99th percentile of the lag is at
            most 1 ms.
        stopped: True if the run was stopped before its end, up to which the figures then are.
        duration_s: Start of the schedule to the last answer, s.
        target: The server replayed against.
        server: The target's own counters; None if it no longer answered.
        warm: Items stored beforehand; None unless asked for.
        checks: The thresholds asked for.
        sample: The share of the traffic that was recorded, and therefore replayed.
        profile: Path of the profile.
        pacing: The pacing, as the user named it.
        seed: Seed of the generated values.
        host: The host that made the load, and the target if it is there.
        observed: Intervals of an observation of the target, one a second.
        observation: Tally and cost of that observation; None unless asked for.
    """

    planned: int
    planned_s: float
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
    profile: str = ""
    pacing: str = "recorded"
    seed: int = 1
    host: HostFacts | None = None
    observed: tuple[ObserveInterval, ...] = ()
    observation: ObservedBeside | None = None

    def _report(self) -> str:
        from membench.report.replay import render_replay  # noqa: PLC0415 - only for what is shown
        from membench.report.text import as_text  # noqa: PLC0415 - only for what is shown

        return as_text(render_replay(self))

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def held(self) -> bool:
        """True if all was sent at its time and every answer that was due came."""
        return self.timing_held and self.sent == self.planned and not self.unanswered


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
    log_histograms: bool = False,
    threads: int = 1,
    checks: Sequence[str] = (),
    stop: Event | None = None,
    on_interval: Callable[[Progress], object] | None = None,
    observe: bool = False,
) -> ReplayResult:
    """Send a profile's requests to `target` at their recorded times.

    Args:
        profile: An open profile, replayed as it was when it was opened, or a path.
        target: `HOST:PORT` or `unix:PATH` of a memcached.
        warm: First store every item that the recording proves to have been present at its start.
        pacing: `recorded`, `speed=2`, `rate=50000/s`, `poisson=50000/s` or `ramp=1000..50000/30s`.
        allow_nonempty: Replay against a target that holds items or has other clients.
        allow_admin: Replay `flush_all` and `verbosity`, too.
        allow_sampled: Replay a sample, a fraction of the load; checks are then refused.
        seed: Seed of the generated values.
        receive_stamps: Let the kernel timestamp received data (about 3 % more CPU).
        log_histograms: Give `on_interval` the histograms of each second.
        threads: Sending threads, each with its share of the connections.
        checks: Thresholds such as `get.p99<1ms`, `lag.p99<5ms`, `errors<0.01%`, `hit_ratio>0.95`.
        stop: Ends the run within a fraction of a second once it is set; the result covers the run
            up to then.
        on_interval: Called once a second, and at the end with the rest of the last one; the run
            ends when it returns False or raises.
        observe: Observe the target's requests, an interval a second: it must be on this machine, at
            a port.

    Raises:
        TargetError: The target cannot be reached, or looks like production.
        UsageError: An option is wrong.
        ProfileError: The profile is damaged.
        CaptureUnavailableError: You may not read the profile, or this machine does not allow it.
        MembenchError: `stop` was set before the first request.
    """
    thresholds = [Threshold.parse(text) for text in check.texts("checks", checks)]
    check.text("target", target)
    check.text("pacing", pacing)
    check.flags(
        warm=warm,
        allow_nonempty=allow_nonempty,
        allow_admin=allow_admin,
        allow_sampled=allow_sampled,
        receive_stamps=receive_stamps,
        log_histograms=log_histograms,
        observe=observe,
    )
    if on_interval is not None and not callable(on_interval):
        raise UsageError(f"{on_interval!r} cannot be called", "`on_interval` takes a function")
    if stop is not None and not callable(getattr(stop, "is_set", None)):
        raise UsageError(f"{stop!r} is no event", "`stop` takes a `threading.Event`")
    check.whole("a seed", seed, 0, _MOST_SEED)
    check.whole("a number of threads", threads, 1, _MOST_THREADS)
    recording = open_native(profile)
    sample = from_json(Summary, recording.summary_json()).sample
    if thresholds and not sample.is_all:
        raise UsageError(
            f"{recording.path} holds {sample}: a check would judge another load than the recorded",
            "leave out the checks, or record without a sample",
        )
    place = local_port(target)
    beside = BesideReplay(target, place) if observe else None
    host = read_host([(place, process_at(place))] if place is not None else [])
    with beside or nullcontext():
        report = _native.replay(
            recording,
            target,
            pacing=pacing,
            warm=warm,
            allow_nonempty=allow_nonempty,
            allow_admin=allow_admin,
            allow_sampled=allow_sampled,
            seed=seed,
            receive_stamps=receive_stamps,
            log_histograms=log_histograms,
            threads=threads,
            stop=stop,
            on_interval=None if on_interval is None else _progress_of(on_interval),
        )
    result = from_json(ReplayResult, report)
    measured = tuple(threshold.check(result) for threshold in thresholds)
    return replace(
        result,
        checks=measured,
        sample=sample,
        profile=str(recording.path),
        pacing=pacing,
        seed=seed,
        host=host,
        observed=beside.since(result.duration_s) if beside is not None else (),
        observation=beside.result() if beside is not None else None,
    )


def _progress_of(callback: Callable[[Progress], object]) -> Callable[[str], bool]:
    def tell(text: str) -> bool:
        return callback(from_json(Progress, text)) is not False

    return tell
