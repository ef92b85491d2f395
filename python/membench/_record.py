"""Source → a capture that runs: events while it lasts, a sealed profile at its end."""

from __future__ import annotations

import json
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, get_args

from membench._arguments import one_of, path_of, sources as sources_of
from membench._hint import Hint
from membench._host import HostFacts, read_host
from membench._ledger import Ledger
from membench._native import Batch, Event, Recorder
from membench._observe.beside import (
    KEPT,
    SLOWER_THAN_S,
    Companion,
    ObservedBeside,
    beside_recording,
)
from membench._observe.observe import observe_beside
from membench._observe.servers import DEFAULT_PORT, listening_ports, process_at
from membench._options import (
    DEFAULT_RING_SIZE,
    Guards,
    Hooks,
    Observed,
    Options,
    Requirement,
    Responses,
    Rotation,
    Selection,
    select,
)
from membench._reads import Reads
from membench._results import from_json
from membench._running import Running
from membench._sample import ALL, Sample
from membench._server_run import ServerRun
from membench._shown import Shown
from membench._sources import SourceKind, kind_of
from membench.errors import UsageError

logger = logging.getLogger(__name__)

# How long one wait in the engine lasts before Python looks at signals and callbacks again, s.
_TURN_S = 0.25
# Sources that show servers of this machine.
_OF_THIS_HOST = frozenset({SourceKind.SOCKETS, SourceKind.INTERFACE, SourceKind.LIBPCAP})


@dataclass(frozen=True, slots=True)
class Ended:
    """The reason why a recording ended.

    Attributes:
        by: `asked` (a call, a signal, or a limit given at the start), `end_of_file`, `source` (a
            live source broke off), `guard`, `damage` (of a capture file) or `output` (the profile
            could not be written).
        reason: The reason in words, as the manifest keeps it: `duration`, `SIGINT`, ...
    """

    by: Literal["asked", "end_of_file", "source", "guard", "damage", "output"]
    reason: str

    @property
    def is_early(self) -> bool:
        """True if the recording broke off, for another reason than a damaged file."""
        return self.by in ("source", "guard", "output")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server that is being recorded; None where neither it nor the system told.

    Attributes:
        network_namespace: The inode number of its network namespace, if not the recorder's own.
    """

    listening: str
    port: int
    pid: int | None = None
    version: str | None = None
    threads: int | None = None
    connections: int | None = None
    network_namespace: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """Measures of how well a recorder keeps up.

    Attributes:
        ring_fill: Highest fill of a ring, 0…1.
        lag_s: Age of the oldest record, s.
        late: Number of looks that found a ring half full, or a record a second old.
    """

    ring_fill: float = 0.0
    lag_s: float = 0.0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Yielding:
    """Measures by which a recorder makes way for others; None where there are none."""

    nice: int | None = None
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The guards that apply to a recording, as in `Guards`; None is no limit."""

    max_cpu: float | None = None
    max_memory: int | None = None
    max_written: int | None = None
    min_free: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A running capture at one moment; times in s, sizes in bytes, `cpu_share` of one CPU.

    Attributes:
        elapsed_s: Time since it attached; of a stored source, the time that it covers so far.
        events_per_s: Rate since the last status; of a stored source, by the time that it covers.
        state: `waiting` for a server, `recording`, `stopping` or `done`.
        lost_packets: Packets that the capture dropped, that the network had cut up, or that could
            not be read.
        lost_lines: Lines of memcached's log that were lost, as far as it says.
        user_queue_drops: Events that a slow consumer did not take.
        kind: Kind of the source, one of `membench.SourceKind`.
        source: The source that is recorded.
        fallback: Reason why the preferred hooks could not be used; None if they were.
        notice: Reason why another source is recorded than the one asked for, or the command that
            removes programs of ours by hand.
        pace: Measures of how well it kept up during the last two seconds.
        limits: The guards that apply.
        ended: Reason of its end; None while it records.
        server_runs: The processes that served so far.
        elsewhere: The memcacheds that run here, in words, if none was found to record.
    """

    state: str
    elapsed_s: float
    events: int
    requests: int
    events_per_s: float
    connections: int
    connections_open: int
    bytes_written: int
    lost_bytes: int
    user_queue_drops: int
    cpu_s: float
    cpu_share: float
    servers: tuple[ServerStatus, ...]
    kind: str
    ended: Ended | None = None
    hooks: str | None = None
    fallback: str | None = None
    kernel: str | None = None
    source: str = ""
    notice: str | None = None
    lost_packets: int = 0
    lost_lines: int = 0
    pace: Pace = field(default_factory=Pace)
    yielding: Yielding = field(default_factory=Yielding)
    limits: Limits = field(default_factory=Limits)
    server_runs: tuple[ServerRun, ...] = ()
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One of memcached's own counters over the recording, beside what the profile holds."""

    port: int
    counter: str
    server: int
    recorded: int
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a recording to this machine."""

    cpu_s: float
    ns_per_event: float | None
    bytes_written: int
    bytes_per_event: float | None


@dataclass(frozen=True, slots=True)
class Recording(Shown):
    """A capture that has ended.

    Attributes:
        profile: Path of the last profile; None if nothing was written.
        profiles: Paths of all profiles, in order.
        duration_s: Time from attaching to detaching, s; of a stored source, the time it covers.
        open_at_start: Number of `connections` that were open before the recording.
        why_empty: Reason why no connection was recorded, if none was.
        nothing_found: True if there was nothing to record: no server, and no packet of the ports.
        server_runs: The processes that served while the recording lasted.
        others: Profiles of earlier recordings that have the name of a rotated one and were left
            alone.
        silent_connections: Number of `connections` that were opened and closed without a byte, as
            health checks are.
        reads: Keys looked up, by result.
        differences: memcached's counters beside the recorded ones, per server.
        uncompared: Number of servers without such a comparison, though it was asked for.
        counters_reset: Number of servers whose counters were set to 0 meanwhile (`stats reset`), so
            that they are not compared.
        observed: Tally and cost of the observation beside it; None unless asked for.
        ended: Reason of its end.
        removal: Shell command that removes programs of this capture, if they could not be removed.
        write_error: Reason why the profile could not be written to its end, if it could not.
        pace: Measures of how well it kept up.
        sample: The share of the traffic that was kept.
        sampled_out: Events left out, as they are not of the sample.
    """

    profile: str | None
    duration_s: float
    events: int
    requests: int
    connections: int
    open_at_start: int
    silent_connections: int
    commands: Mapping[str, int]
    outcomes: Mapping[str, int]
    reads: Reads
    ledger: Ledger
    differences: tuple[Difference, ...]
    cost: Cost
    ended: Ended
    removal: str | None = None
    write_error: str | None = None
    pace: Pace = field(default_factory=Pace)
    sample: Sample = ALL
    sampled_out: int = 0
    profiles: tuple[str, ...] = ()
    why_empty: str | None = None
    nothing_found: bool = False
    server_runs: tuple[ServerRun, ...] = ()
    others: tuple[str, ...] = ()
    uncompared: int = 0
    counters_reset: int = 0
    observed: ObservedBeside | None = None

    def _report(self) -> str:
        from membench.report.record import render_recording  # noqa: PLC0415 - only for what is shown
        from membench.report.text import as_text  # noqa: PLC0415 - only for what is shown

        return as_text(render_recording(self))

    @property
    def guard(self) -> str | None:
        """The guard that ended the recording, if one did."""
        return self.ended.reason if self.ended.by == "guard" else None

    @property
    def damage(self) -> str | None:
        """The damage of the capture file, which was read up to there, if it has any."""
        return self.ended.reason if self.ended.by == "damage" else None

    def loss_share(self) -> float:
        """Return the share of the traffic that may be missing from the recording, 0…1."""
        return self.ledger.loss_share(self.requests)


class Capture(Running):
    """A capture that has started; leaving its `with` block ends and seals it.

    Iterating yields events as their responses complete; `batches` yields the same as Arrow.
    """

    def __init__(
        self, recorder: Recorder, *, live: bool, companion: Companion | None = None
    ) -> None:
        """Take over a recorder that has started, and the observation beside it."""
        self._recorder = recorder
        self._live = live
        self._companion = companion
        if companion is not None:
            # The companion holds the recorder, which would outlive this capture.
            weakref.finalize(self, recorder.stop, "dropped")

    def _end(self) -> None:
        self.stop("stop")
        self.wait()

    def __iter__(self) -> Iterator[Event]:
        """Yield events until the capture ends."""
        self._require_live()
        while True:
            event = self._recorder.next_event(_TURN_S)
            if event is not None:
                yield event
            elif self._recorder.done:
                return

    def batches(self) -> Iterator[Batch]:
        """Yield events as Arrow record batches until the capture ends."""
        self._require_live()
        while True:
            batch = self._recorder.next_batch(_TURN_S)
            if batch is not None:
                yield batch
            elif self._recorder.done:
                return

    def status(self) -> Status:
        """Return how far the capture is."""
        return from_json(Status, self._recorder.status())

    def wait(
        self, timeout_s: float | None = None, on_status: Callable[[Status], None] | None = None
    ) -> bool:
        """Wait for the end; `on_status` is called four times a second, its exceptions propagate.

        Returns:
            True if the capture has ended.
        """
        left = timeout_s
        while left is None or left > 0:
            turn = _TURN_S if left is None else min(_TURN_S, left)
            if self._recorder.wait(turn):
                return True
            left = None if left is None else left - turn
            status = self.status()
            logger.debug("%s", status)
            if on_status is not None:
                on_status(status)
        return self._recorder.wait(0)

    def stop(self, reason: str = "stop") -> None:
        """Ask the capture to end and seal; `wait` returns when it has."""
        self._recorder.stop(reason)

    @property
    def result(self) -> Recording:
        """The recording, once the capture has ended.

        Raises:
            UsageError: It is still running.
        """
        if not self._recorder.done:
            raise UsageError("the capture is still running", "call `stop()` or `wait()` first")
        recording = from_json(Recording, self._recorder.result())
        if self._companion is None:
            return recording
        return replace(recording, observed=self._companion.result())

    def _require_live(self) -> None:
        if not self._live:
            raise UsageError(
                "this capture only writes its profile", "pass `live=True` to read events as well"
            )


def record(  # noqa: PLR0913 - all but two are keyword-only options
    source: str | Sequence[str],
    output: str | os.PathLike[str] | None = None,
    *,
    ports: Sequence[int] | Literal["any"] | None = None,
    selection: Selection | None = None,
    responses: Responses = "bytes",
    arrival: bool = True,
    duration_s: float | None = None,
    max_size: int | None = None,
    rotation: Rotation | None = None,
    sample: Sample = ALL,
    guards: Guards | None = None,
    force: bool = False,
    wait: bool = False,
    key_file: str | os.PathLike[str] | None = None,
    statistics: bool = True,
    live: bool | None = None,
    ring_size: int = DEFAULT_RING_SIZE,
    hooks: Hooks | None = None,
    require: Requirement | None = None,
    drop_privileges: bool = False,
    observe: Observed | None = None,
) -> Capture:
    """Start recording `source`.

    Args:
        source: The place to record at: `ebpf:any`; packets of `ebpf:INTERFACE`, `pcap:any`,
            `pcap:INTERFACE` or a pcap or pcapng file, or several such files, which are read as one
            in the order of their times; `watch:HOST:PORT`, memcached's own log, which needs no
            permission but tells less; or the path of such a log. `-` is standard input.
        output: Folder of the profile to write; without one, events are only handed out.
        ports: Listening ports of the servers or `any`, short for
            `selection=Selection(ports=...)`.
        selection: The connections to follow; those of memcached's own port unless given.
        responses: The part of the responses to look at: their first `bytes` (outcomes and server
            times), their `lengths` (server times, outcomes of commands on one key) or `none`.
        arrival: Note when requests arrived, where the source knows: `queue_time`, by which replays
            are scheduled. Without it, recording costs the server less.
        duration_s: End by itself after this many seconds; of a capture file, by its packets' times.
        max_size: End by itself once this many bytes are written. Replaces `Guards.max_written`.
        rotation: Limits at which to continue in another profile.
        sample: The share of keys and connections to keep.
        guards: Limits that end the recording before it does harm; `Guards()` unless given.
        force: Overwrite `output`.
        wait: Begin before there is a server, and record it once it listens. Otherwise a missing
            server is an error.
        key_file: File with the 128-bit key that makes key ids; a random one otherwise.
        statistics: Ask the servers for their own counters at the start and the end.
        live: Hand events out as they come; by default only when there is no `output`.
        ring_size: Bytes of the buffer between the kernel and this process, a power of two.
        hooks: Hooks to use: `sockets` or `syscalls`, for an interface `tcx` or `clsact`; by default
            the first that this kernel has and accepts.
        require: `ebpf` refuses other sources, and forbids that packets (`pcap:any`) stand in for
            `ebpf:any` where the kernel does not allow that; `Status.notice` says if they do.
        drop_privileges: Give up every capability of this process once attached; irreversible.
        observe: Observe the servers meanwhile, and store each second in the profile: `counters` is
            their threads and counters and the host, `requests` also the account of each request.

    Raises:
        UsageError: An argument is wrong, or `output` exists (OutputExistsError).
        CaptureUnavailableError: This machine or your permissions do not allow it; see `hint`.
    """
    if output is None and rotation is not None:
        raise UsageError("nothing is written that could be rotated", "give an output")
    sources = sources_of(source)
    kinds = {kind_of(one) for one in sources} if require is not None else set()
    if require is not None and (
        require != "ebpf" or not kinds <= {SourceKind.SOCKETS, SourceKind.INTERFACE}
    ):
        raise UsageError(f"{' '.join(sources)} is not {require}, which is required")
    selected = select(selection, ports)
    observing = _observing(observe, sources, selected, output)
    is_here = output is not None and {kind_of(one) for one in sources} <= _OF_THIS_HOST
    options = Options(
        selection=selected,
        responses=responses,
        arrival=arrival,
        ring_size=ring_size,
        hooks=hooks,
        fallback=require is None,
        output=path_of("output", output),
        force=force,
        wait=wait,
        duration_s=duration_s,
        max_size=max_size,
        rotation=rotation,
        sample=sample,
        guards=Guards() if guards is None else guards,
        key_file=path_of("key_file", key_file),
        statistics=statistics,
        drop_privileges=drop_privileges,
        observed=observing,
        host=json.dumps(asdict(_host(selected))) if is_here else None,
        live=output is None if live is None else live,
    )
    if not observing:
        recorder = Recorder(sources, options)
        logger.info("attached: %s, %s", sources, options)
        return Capture(recorder, live=options.live)
    return _record_observed(sources, options, requests=observe == "requests")


def _record_observed(sources: list[str], options: Options, *, requests: bool) -> Capture:
    """Start a recording, and the observation beside it."""
    own: list[tuple[str, int]] = []
    started: list[Recorder] = []

    def on_connect(host: str, port: int) -> None:
        own.append((host, port))
        for recorder in started:
            recorder.exclude(host, port)

    observation, native = observe_beside(
        options.selection,
        requests=requests,
        slower_than_s=SLOWER_THAN_S,
        keep=KEPT,
        wait=options.wait,
        on_connect=on_connect,
        asks=options.statistics,
    )
    try:
        recorder = Recorder(sources, options)
    except BaseException:
        with observation:
            raise
    started.append(recorder)
    for host, port in own:
        recorder.exclude(host, port)
    logger.info("attached: %s, %s, and an observation", sources, options)
    companion = beside_recording(observation, native, recorder)
    return Capture(recorder, live=options.live, companion=companion)


def _observing(
    observe: object,
    sources: Sequence[str],
    selection: Selection,
    output: str | os.PathLike[str] | None,
) -> bool:
    """Return true if servers are to be observed meanwhile, and can be."""
    if observe is None:
        return False
    one_of("kinds of observation", observe, get_args(Observed))
    if output is None:
        raise UsageError("nothing is written that could hold an observation", "give an output")
    if not {kind_of(one) for one in sources} <= _OF_THIS_HOST:
        raise UsageError(
            f"`{' '.join(sources)}` shows no server of this machine that could be observed",
            Hint("record a live source: `ebpf:any`"),
        )
    if observe == "counters" and (selection.cgroups or selection.network_namespaces):
        raise UsageError(
            "control groups and network namespaces choose among requests, and none are observed",
            Hint("`{observe_requests}`, or name ports or processes"),
        )
    if selection.side != "server":
        raise UsageError(
            "a recording of clients shows no server that could be observed", "record the servers"
        )
    return True


def _host(selection: Selection) -> HostFacts:
    """Return facts about this host and the servers that are to be recorded."""
    ports = [] if selection.ports == "any" else list(selection.ports)
    if not ports:
        ports = sorted({port for pid in selection.pids for port in listening_ports(pid)})
    return read_host((port, process_at(port)) for port in ports or [DEFAULT_PORT])
