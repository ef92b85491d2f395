"""Source → a capture that runs: events while it lasts, a sealed profile at its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from membench import sources
from membench._arguments import Side, check_ring_size, check_sample, refuse_for_logs, select
from membench._ledger import Ledger
from membench._results import from_json
from membench._running import Running
from membench._sample import ALL, Sample
from membench.errors import UsageError
from membench.guards import Guards, Limits, Pace, Yielding

if TYPE_CHECKING:
    from membench._native import Batch, Event, Recorder

logger = logging.getLogger(__name__)

Responses = Literal["none", "lengths", "bytes"]
Hooks = Literal["sockets", "syscalls", "tcx", "clsact"]
DEFAULT_RING_SIZE = 16 * 1024 * 1024
# How long one wait in the engine lasts before Python looks at signals and callbacks again, s.
_TURN_S = 0.25
# Ends that were asked for, beside signals.
_ASKED = ("stop", "duration", "max-size", "end of file")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server that is being recorded; what it or the system did not tell is None.

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
class Status:
    """A running capture at one moment; times in s, sizes in bytes, `cpu_share` of one CPU.

    Attributes:
        state: `waiting` for a server, `recording`, `stopping` or `done`.
        requests: Requests so far; a multi-get is one.
        lost_lines: Of memcached's log, as far as it says.
        user_queue_drops: Events that a slow consumer or disk did not take.
        fallback: Why the preferred hooks could not be used; `None` if they were.
        source: Where it records.
        notice: Why that is not the source that was asked for, if it is not.
        pace: How well it kept up in the last two seconds.
    """

    state: str
    elapsed_s: float
    events: int
    events_per_s: float
    connections: int
    connections_open: int
    bytes_written: int
    lost_bytes: int
    user_queue_drops: int
    cpu_s: float
    cpu_share: float
    servers: tuple[ServerStatus, ...]
    stopped_by: str | None = None
    hooks: str | None = None
    fallback: str | None = None
    kernel: str | None = None
    source: str = ""
    notice: str | None = None
    lost_lines: int = 0
    requests: int = 0
    pace: Pace = field(default_factory=Pace)
    yielding: Yielding = field(default_factory=Yielding)
    limits: Limits = field(default_factory=Limits)


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
    """What recording cost this machine."""

    cpu_s: float
    ns_per_event: float | None
    bytes_written: int
    bytes_per_event: float | None


@dataclass(frozen=True, slots=True)
class Recording:
    """A capture that has ended.

    Attributes:
        profile: Path of the profile, the last of several; None when nothing was written.
        profiles: Paths of all of them.
        duration_s: From attaching to detaching, s.
        open_at_start: How many of `connections` were open before recording began.
        empty: Why there is no connection in it, where there is none.
        differences: memcached's counters beside the recorded ones, per server.
        not_compared: Servers whose counters are not beside them, though that was asked for.
        stopped_by: `duration`, `max-size`, a signal's name, `stop`, `end of file`, what is wrong
            with a capture file, or the guard that was reached.
        left_behind: The command that removes programs of this capture that it could not remove.
        write_error: Why the profile could not be written to the end.
        pace: How well it kept up.
        sample: Which share of the traffic was kept.
        sampled_out: Events left out as they are not of the sample.
    """

    profile: str | None
    duration_s: float
    events: int
    requests: int
    connections: int
    open_at_start: int
    commands: Mapping[str, int]
    outcomes: Mapping[str, int]
    ledger: Ledger
    differences: tuple[Difference, ...]
    cost: Cost
    stopped_by: str
    left_behind: str | None = None
    write_error: str | None = None
    pace: Pace = field(default_factory=Pace)
    sample: Sample = ALL
    sampled_out: int = 0
    profiles: tuple[str, ...] = ()
    empty: str | None = None
    not_compared: int = 0

    @property
    def guard(self) -> str | None:
        """Name the guard that ended the capture before it was asked to end, if one did."""
        asked = self.stopped_by in _ASKED or self.stopped_by.startswith("SIG")
        return None if asked or self.damage else self.stopped_by

    @property
    def damage(self) -> str | None:
        """Say what is wrong with the capture file, if anything: it was read up to there."""
        return self.stopped_by if self.stopped_by.startswith("damaged file") else None

    def loss_share(self) -> float:
        """Share of the traffic that may be missing from the recording, 0…1."""
        return self.ledger.loss_share(self.requests)


class Capture(Running):
    """A capture that has started; leaving its `with` block ends and seals it.

    Iterating yields events as their responses complete; `batches` yields the same as Arrow.
    """

    def __init__(self, recorder: Recorder, *, live: bool) -> None:
        """Take over a recorder that has started."""
        self._recorder = recorder
        self._live = live

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
            Whether the capture has ended.
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
        """What was recorded, once the capture has ended.

        Raises:
            UsageError: It is still running.
        """
        if not self._recorder.done:
            raise UsageError("the capture is still running", "call `stop()` or `wait()` first")
        return from_json(Recording, self._recorder.result())

    def _require_live(self) -> None:
        if not self._live:
            raise UsageError(
                "this capture only writes its profile", "pass `live=True` to read events as well"
            )


def record(  # noqa: PLR0913 - all but two are keyword-only options
    source: str,
    output: str | os.PathLike[str] | None = None,
    *,
    side: Side = "server",
    ports: Sequence[int] | None = None,
    sockets: Sequence[str | os.PathLike[str]] = (),
    pids: Sequence[int] = (),
    cgroups: Sequence[str | os.PathLike[str]] = (),
    network_namespaces: Sequence[str | int] = (),
    responses: Responses = "bytes",
    ring_size: int = DEFAULT_RING_SIZE,
    hooks: Hooks | None = None,
    duration: float | None = None,
    force: bool = False,
    key_file: str | os.PathLike[str] | None = None,
    statistics: bool = True,
    drop_privileges: bool = False,
    live: bool | None = None,
    require: Literal["ebpf"] | None = None,
    max_size: int | None = None,
    guards: Guards | None = None,
    sample: int = 1,
    sample_connections: int = 1,
    rotate_size: int | None = None,
    rotate_every: float | None = None,
) -> Capture:
    """Start recording `source`.

    Args:
        source: Where to record: `ebpf:any`; packets of `ebpf:INTERFACE`, `pcap:any`,
            `pcap:INTERFACE` or a pcap or pcapng file; `watch:HOST:PORT`, memcached's own log, which
            needs no permission but tells less; or the path of such a log (`-`: standard input).
        output: Folder of the profile to write; without one, events are only handed out.
        side: Which end of connections: the `server`'s, or the `client`'s, which is what
            applications here send to `ports` anywhere, and the service times that they see.
        ports: Listening ports of the servers to record. Without ports and sockets those of `pids`,
            without these 11211.
        sockets: Paths of UNIX-domain sockets to record, as the servers were told them.
        pids: Record only these processes, by their ids here.
        cgroups: Record only the tasks of these control groups (v2) and those below.
        network_namespaces: Record only sockets of these network namespaces: names, paths or pids.
        responses: How much of the responses to look at: their first `bytes` (outcomes and server
            times), their `lengths` (server times, outcomes of commands on one key) or `none`.
        ring_size: Bytes of the buffer between the kernel and this process, a power of two.
        hooks: Hooks to use: `sockets` or `syscalls`, for an interface `tcx` or `clsact`; by default the first
            that this kernel has and takes.
        duration: Stop by itself after so many seconds; of a file, by its packets' times.
        force: Overwrite `output`.
        key_file: File with the 128-bit key that makes key ids; a random one otherwise.
        statistics: Ask the servers for their own counters at the start and the end.
        drop_privileges: Give up every capability of this process once attached; irreversible.
        live: Hand events out as they come; by default only when there is no `output`.
        require: `ebpf` forbids that packets (`pcap:any`) stand in for `ebpf:any` where the kernel
            does not allow that; `Status.notice` says if they do.

        max_size: Stop by itself once so many bytes are written.
        guards: What ends it before it hurts; `Guards()` unless given.
        sample: Keep one key in so many: every operation on it, or none.
        sample_connections: Follow one connection in so many; the others cost the server nothing.
        rotate_size: Go on in another profile once one has so many bytes: of `production.mb`,
            `production-000001.mb` is the first.
        rotate_every: Go on in another after so many seconds.

    Raises:
        UsageError: An argument is wrong, or `output` exists (OutputExistsError).
        CaptureUnavailableError: This machine or your permissions do not allow it; see `hint`.
    """
    parsed = sources.parse(source)
    if parsed.is_log:
        refuse_for_logs(
            sample=sample > 1,
            sample_connections=sample_connections > 1,
            rotate_size=rotate_size,
            rotate_every=rotate_every,
        )
    selection = select(
        parsed,
        side=side,
        ports=ports,
        sockets=sockets,
        pids=pids,
        cgroups=cgroups,
        network_namespaces=network_namespaces,
    )
    check_ring_size(ring_size)
    check_sample(sample)
    check_sample(sample_connections)
    if output is None and (rotate_size or rotate_every):
        raise UsageError("nothing is written that could be rotated", "give an output")
    hand_out = output is None if live is None else live
    from membench import _native  # noqa: PLC0415 - importing membench stays quick

    recorder = _native.Recorder(
        source,
        file=parsed.name_of(sources.Kind.FILE),
        interface=parsed.name_of(sources.Kind.LIBPCAP),
        hooked=parsed.name_of(sources.Kind.TRAFFIC_CONTROL),
        fallback=require is None,
        output=None if output is None else os.fspath(output),
        selection=selection,
        responses=responses,
        ring_size=ring_size,
        hooks=hooks,
        duration=duration,
        force=force,
        key_file=None if key_file is None else str(Path(key_file)),
        statistics=statistics,
        drop_privileges=drop_privileges,
        live=hand_out,
        guards=Guards() if guards is None else guards,
        max_size=max_size,
        sample_keys=sample,
        sample_connections=sample_connections,
        rotate_bytes=rotate_size,
        rotate_s=rotate_every,
    )
    where = [*selection.ports, *selection.sockets]
    logger.info("attached: %s, at %s, ring of %d bytes", source, where, ring_size)
    return Capture(recorder, live=hand_out)
