"""Profile and target → the recorded requests sent again, their times and outcomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
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
from membench._replay_options import (
    Auth,
    Fill,
    ReplayOptions,
    Wait,
    changed_load,
    named_targets,
    only_target,
    parse_shard,
    start_ns,
)
from membench._results import from_json
from membench._sample import ALL, Sample
from membench._shown import Shown
from membench.errors import UsageError

#: The share of a process that replays alone.
ALONE = "0/1"

Counts = dict[str, int]
"""Amounts by name of a cause, an outcome or a counter."""


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
        guard_ns: Time before an intended send at which they stopped sleeping, ns; 0 if they slept
            to the end or not at all.
        wait: Way in which they waited: `sleep`, `hybrid` or `spin`.
        busiest_share: CPU time of the busiest of them without that in which it only watched the
            clock, of the run's time.
        preemptions: Number of times that they were preempted.
        stolen_s: Time that a hypervisor took from this machine's CPUs during the run, s.
    """

    cpu_ns_per_request: float
    cpu_share: float
    threads: int
    guard_ns: int
    wait: str = "hybrid"
    busiest_share: float = 0
    preemptions: int = 0
    stolen_s: float = 0


@dataclass(frozen=True, slots=True)
class Target:
    """The server replayed against.

    Attributes:
        name: `HOST:PORT` or `unix:PATH`, as the user named it; with commas if there are several.
        version: Its version; None if it did not say, or if they differ.
        threads: Its worker threads; None if it did not say.
        untold: Names of the statistics that it did not tell, of those that a replay asks for.
    """

    name: str
    version: str | None
    threads: str | None
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetShare:
    """One of several targets.

    Attributes:
        name: `HOST:PORT` or `unix:PATH`, as the user named it.
        version: Its version; None if it did not say.
        servers: Names of the recorded servers that it stands for.
        planned: Requests to send to it.
    """

    name: str
    version: str | None
    servers: tuple[str, ...]
    planned: int


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
class Expiries:
    """Expiry times that another speed scales: `speed=2` halves them.

    Attributes:
        scaled: Requests with an expiry that is scaled.
        distorted: Requests among them whose expiry is more than 10 % off, because memcached counts
            whole seconds: none is sent that is below 1 s, or above 30 days.
    """

    scaled: int
    distorted: int


@dataclass(frozen=True, slots=True)
class FillCounts:
    """Stores that follow misses at the target.

    Attributes:
        scheduled: Misses at the target that a store was to follow.
        stored: Stores among them that the target stored.
        unknown: Misses that no store can follow, as the recording shows no value of the key.
    """

    scheduled: int
    stored: int
    unknown: int


@dataclass(frozen=True, slots=True)
class StoredHistograms:
    """Histograms of the durations of one command, in the form of HdrHistogram's logs.

    Attributes:
        answered: Durations of answered requests, ns; None if none was.
        unanswered: Waits of requests without an answer, ns; None if all were answered.
    """

    answered: str | None
    unanswered: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a running replay.

    Attributes:
        elapsed_s: Time since the start, s.
        planned_s: Length of the schedule, s; 0 if the target decides it.
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
        planned: Requests of the recording that can be sent, as often as they are to be, and the
            stores that followed misses at the target.
        planned_s: Length of the schedule, s; 0 if the target decides it.
        sent: Requests handed to the kernel.
        answered: Requests answered.
        suppressed: Requests sent that expect no answer (`noreply`, quiet commands).
        errors: Failures: requests unanswered or not sent (unless the run was stopped), `new_errors`
            and `unexpected`.
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
            most 100 µs, or 5 % of the median response time if that is more.
        stopped: True if the run was stopped before its end, up to which the figures then are.
        duration_s: Start of the schedule to the end of the last sending thread, the wait for
            answers included, s.
        target: The server replayed against.
        server: The target's own counters; None if it does not tell, or no longer answered.
        warm: Items stored beforehand; None unless asked for.
        checks: The thresholds asked for.
        sample: The share of the traffic that was recorded, and therefore replayed.
        profile: Path of the profile.
        pacing: The pacing, as the user named it.
        load: Options that change what is sent, as the user named them; those left alone are not in
            it.
        seed: Seed of the generated values.
        host: The host that made the load, and the target if it is there.
        observed: Intervals of an observation of the target, one a second.
        observation: Tally and cost of that observation; None unless asked for.
        late: Requests sent more than `late_after_ns` after their intended time.
        late_after_ns: Lag from which a request counts as late, ns.
        expiries: Expiry times that were scaled; None at the recorded speed.
        targets: Each target with its servers, if there are several.
        shard: Share of this process in the replay, `0/1` if it was the only one.
        histograms: Histograms by kind of duration and command, by which results of several
            processes are added; None if it was the only one.
        shared_keys: Keys that are the same as those of other ids, because too few of their length
            exist for all rounds and copies.
        fills: Stores that followed misses at the target, which are in the other counts, too; None
            if fills were sent as recorded.
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
    load: dict[str, str] = field(default_factory=dict)
    seed: int = 1
    host: HostFacts | None = None
    observed: tuple[ObserveInterval, ...] = ()
    observation: ObservedBeside | None = None
    late: int = 0
    late_after_ns: int = 1_000_000
    expiries: Expiries | None = None
    targets: tuple[TargetShare, ...] = ()
    shard: str = ALONE
    histograms: dict[str, dict[str, StoredHistograms]] | None = None
    shared_keys: int = 0
    fills: FillCounts | None = None

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
    target: str | Mapping[str, str],
    *,
    server: str | None = None,
    warm: bool = False,
    pacing: str = "recorded",
    late: str = "send",
    from_s: float = 0,
    until_s: float | None = None,
    loop: int = 1,
    fresh_keys: bool = False,
    scale: int = 1,
    shared_keys: bool = False,
    allow_nonempty: bool = False,
    allow_admin: bool = False,
    allow_sampled: bool = False,
    seed: int = 1,
    key_prefix: str = "",
    value: str = "text",
    fill: Fill = "recorded",
    wait: Wait = "hybrid",
    receive_stamps: bool = True,
    log_histograms: bool = False,
    threads: int = 1,
    tls: bool = False,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    tls_name: str | None = None,
    auth: Auth | None = None,
    auth_file: str | os.PathLike[str] | None = None,
    auth_env: str | None = None,
    shard: str = ALONE,
    start_at: datetime | None = None,
    checks: Sequence[str] = (),
    stop: Event | None = None,
    on_interval: Callable[[Progress], object] | None = None,
    observe: bool = False,
) -> ReplayResult:
    """Send a profile's requests to `target` at their recorded times.

    Args:
        profile: An open profile, replayed as it was when it was opened, or a path.
        target: `HOST:PORT` or `unix:PATH` of a memcached; or that of each server, if several were
            recorded: `{"11211": "a:11211", "11212": "b:11211"}`. Servers without one are left out.
        server: Name of the one server whose connections are replayed, if several were recorded: its
            port, or its address or path.
        warm: First store every item that the recording proves to have been present at its start.
        pacing: Rule for the times at which requests are sent: `recorded`, `speed=2`,
            `rate=50000/s`, `poisson=50000/s` or `ramp=1000..50000/30s`; or after answers: `closed`,
            `closed=no-think` or `max`.
        late: Rule for requests that cannot leave at their time: `send`, or `drop`. Those count as
            late that are more than 1 ms behind, with `drop=5ms` more than that.
        from_s: Start of the part to replay, s since the start of the recording.
        until_s: End of the part, s since the start of the recording; None is its end.
        loop: Number of times that the part is replayed, one after the other.
        fresh_keys: Give each of these times keys of its own.
        scale: Number of copies of the recorded clients that send at the same time.
        shared_keys: Give the copies the same keys, instead of each its own.
        allow_nonempty: Replay against a target that holds items or has other clients.
        allow_admin: Replay `flush_all` and `verbosity`, too.
        allow_sampled: Replay a sample, a fraction of the load; checks are then refused.
        seed: Seed of the generated values.
        key_prefix: Letters that every key begins with, before the recorded length.
        value: Bytes of the values: `text`, `random`, `compressible=0.6` or `zero`.
        fill: Stores that follow misses: as they were `recorded`, or after each miss at the target,
            as clients of a `lookaside` cache send them.
        wait: Way in which sending threads wait: `sleep`, `hybrid` or `spin`.
        receive_stamps: Let the kernel timestamp received data (about 3 % more CPU).
        log_histograms: Give `on_interval` the histograms of each second.
        threads: Sending threads, each with its share of the connections.
        tls: Speak TLS with the target.
        tls_ca: PEM file of the certificates that may sign the target's; by default those that the
            system trusts.
        tls_cert: PEM file of a certificate to show to the target.
        tls_key: PEM file of its key.
        tls_name: Name that the target's certificate must have; by default its host.
        auth: Sign in on each connection: `ascii` (`memcached -Y`) or `sasl` (`memcached -S`).
        auth_file: File whose first line is `USER:PASSWORD`.
        auth_env: Environment variable that holds `USER:PASSWORD`.
        shard: Share of this process, if several replay the profile together: `0/4` is the first of
            four, `3/4` the last. `membench.merge_runs` adds their results.
        start_at: Time at which the schedule starts, the same for all of them.
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
    targets = named_targets(target, server)
    options = ReplayOptions(
        pacing=pacing,
        late=late,
        from_s=from_s,
        until_s=until_s,
        loop=loop,
        fresh_keys=fresh_keys,
        scale=scale,
        shared_keys=shared_keys,
        warm=warm,
        allow_nonempty=allow_nonempty,
        allow_admin=allow_admin,
        allow_sampled=allow_sampled,
        seed=seed,
        receive_stamps=receive_stamps,
        log_histograms=log_histograms,
        threads=threads,
        tls=tls,
        tls_ca=check.optional_path("tls_ca", tls_ca),
        tls_cert=check.optional_path("tls_cert", tls_cert),
        tls_key=check.optional_path("tls_key", tls_key),
        tls_name=tls_name,
        auth=auth,
        auth_file=check.optional_path("auth_file", auth_file),
        auth_env=auth_env,
        server=server,
        shard=parse_shard(shard),
        start_at_ns=start_ns(start_at),
        keep_histograms=shard != ALONE,
        key_prefix=key_prefix,
        value=value,
        wait=wait,
        fill=fill,
    )
    check.flags(observe=observe)
    if on_interval is not None and not callable(on_interval):
        raise UsageError(f"{on_interval!r} cannot be called", "`on_interval` takes a function")
    if stop is not None and not callable(getattr(stop, "is_set", None)):
        raise UsageError(f"{stop!r} is no event", "`stop` takes a `threading.Event`")
    recording = open_native(profile)
    sample = from_json(Summary, recording.summary_json()).sample
    if thresholds and not sample.is_all:
        raise UsageError(
            f"{recording.path} holds {sample}: a check would judge another load than the recorded",
            "leave out the checks, or record without a sample",
        )
    place = local_port(target) if isinstance(target, str) else None
    host = read_host([(place, process_at(place))] if place is not None else [])
    # Nothing that may raise stands between this and the `with` block that ends it.
    beside = BesideReplay(only_target(target), place) if observe else None
    with beside or nullcontext():
        report = _native.replay(
            recording,
            targets,
            options,
            stop,
            None if on_interval is None else _progress_of(on_interval),
        )
    result = from_json(ReplayResult, report)
    observed = beside.since(result.duration_s) if beside is not None else ()
    measured = tuple(threshold.check(result) for threshold in thresholds)
    return replace(
        result,
        checks=measured,
        sample=sample,
        profile=str(recording.path),
        pacing=pacing,
        load=changed_load(options),
        seed=seed,
        shard=shard,
        host=host,
        observed=observed,
        observation=beside.result(observed) if beside is not None else None,
    )


def _progress_of(callback: Callable[[Progress], object]) -> Callable[[str], bool]:
    def tell(text: str) -> bool:
        return callback(from_json(Progress, text)) is not False

    return tell
