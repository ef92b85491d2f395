"""Source → a capture that runs: events while it lasts, a sealed profile at its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from membench import sources
from membench._results import from_json
from membench.errors import UsageError
from membench.ledger import Ledger

if TYPE_CHECKING:
    from membench._native import Batch, Event, Recorder

logger = logging.getLogger(__name__)

Responses = Literal["none", "lengths", "bytes"]
Tier = Literal["T1", "T2"]
DEFAULT_RING_SIZE = 16 * 1024 * 1024
# How long one wait in the engine lasts before Python looks at signals and callbacks again, s.
_TURN_S = 0.25


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server that is being recorded; what it or the system did not tell is None."""

    listening: str
    port: int
    pid: int | None = None
    version: str | None = None
    threads: int | None = None
    connections: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A running capture at one moment; times in s, sizes in bytes, `cpu_share` of one CPU.

    Attributes:
        state: `waiting` for a server, `recording`, `stopping` or `done`.
        user_queue_drops: Events that a slow consumer or disk did not take.
        fallback: Why the kernel is not asked by the hooks of the tier before.
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
    tier: str | None = None
    fallback: str | None = None
    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One of memcached's own counters over the recording, beside what the profile holds."""

    port: int
    counter: str
    server: int
    recorded: int


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
        profile: Path of the profile; None when nothing was written.
        duration_s: From attaching to detaching, s.
        open_at_start: How many of `connections` were open before recording began.
        differences: memcached's counters beside the recorded ones, per server.
        stopped_by: `duration`, a signal's name, `stop`, or the guard that was reached.
        write_error: Why the profile could not be written to the end.
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
    write_error: str | None = None

    @property
    def guard(self) -> str | None:
        """Name the guard that ended the capture before it was asked to end, if one did."""
        asked = self.stopped_by in ("stop", "duration") or self.stopped_by.startswith("SIG")
        return None if asked else self.stopped_by

    def loss_share(self) -> float:
        """Share of the traffic that may be missing from the recording, 0…1."""
        return self.ledger.loss_share(self.requests)


class Capture:
    """A capture that has started; leaving its `with` block ends and seals it.

    Iterating yields events as their responses complete; `batches` yields the same as Arrow.
    """

    def __init__(self, recorder: Recorder, *, live: bool) -> None:
        """Take over a recorder that has started."""
        self._recorder = recorder
        self._live = live

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
    ports: Sequence[int] = (11211,),
    responses: Responses = "bytes",
    ring_size: int = DEFAULT_RING_SIZE,
    tier: Tier | None = None,
    duration: float | None = None,
    force: bool = False,
    key_file: str | os.PathLike[str] | None = None,
    statistics: bool = True,
    drop_privileges: bool = False,
    live: bool | None = None,
) -> Capture:
    """Start recording `source`.

    Args:
        source: Where to record: `ebpf:any`.
        output: Folder of the profile to write; without one, events are only handed out.
        ports: Listening ports of the servers to record.
        responses: How much of the responses to look at: their first `bytes` (outcomes and server
            times), their `lengths` (server times, outcomes of commands on one key) or `none`.
        ring_size: Bytes of the buffer between the kernel and this process, a power of two.
        tier: Hooks to use: `T1` or `T2`; by default the first that this kernel has and takes.
        duration: Stop by itself after so many seconds.
        force: Overwrite `output`.
        key_file: File with the 128-bit key that makes key ids; a random one otherwise.
        statistics: Ask the servers for their own counters at the start and the end.
        drop_privileges: Give up every capability of this process once attached; irreversible.
        live: Hand events out as they come; by default only when there is no `output`.

    Raises:
        UsageError: An argument is wrong, or `output` exists (OutputExists).
        CaptureUnavailable: This machine or your permissions do not allow it; see `hint`.
    """
    sources.require_available(sources.parse(source))
    _check_ports(ports)
    _check_ring_size(ring_size)
    hand_out = output is None if live is None else live
    from membench import _native  # noqa: PLC0415 - importing membench stays quick

    recorder = _native.Recorder(
        source,
        output=None if output is None else os.fspath(output),
        ports=sorted(set(ports)),
        responses=responses,
        ring_size=ring_size,
        tier=tier,
        duration=duration,
        force=force,
        key_file=None if key_file is None else str(Path(key_file)),
        statistics=statistics,
        drop_privileges=drop_privileges,
        live=hand_out,
    )
    logger.info("attached: %s, ports %s, ring of %d bytes", source, ports, ring_size)
    return Capture(recorder, live=hand_out)


def _check_ports(ports: Sequence[int]) -> None:
    if not ports:
        raise UsageError("no port to record", "memcached's own is 11211")
    wrong = [port for port in ports if not 0 < port < 1 << 16]
    if wrong:
        raise UsageError(f"{wrong[0]} is not a port", "ports are from 1 to 65535")


def _check_ring_size(ring_size: int) -> None:
    if ring_size <= 0 or ring_size & (ring_size - 1):
        raise UsageError(f"a ring of {ring_size} bytes: must be a power of two", "for example 16M")
