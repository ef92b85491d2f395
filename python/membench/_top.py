"""Source → what is going on there right now, one interval after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from membench import sources
from membench._arguments import Side, check_ring_size, select
from membench._record import DEFAULT_RING_SIZE, Responses, Status
from membench._results import from_json
from membench._running import Running
from membench.errors import UsageError

if TYPE_CHECKING:
    from membench import _native

# Keys that are counted at once: a key's count is at most 1/4096 of all operations too high.
DEFAULT_KEYS = 4096
# How long one wait in the engine lasts before Python looks at signals again, s.
_TURN_S = 0.1


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key that is used often.

    Attributes:
        id: Its keyed id.
        count: Operations on it; at most `error` too many.
        error: By how much `count` may be too high.
        hits: Hits among them; like `misses` and `bytes` of values, at most `error` too few.
        value_size: Bytes of its value when it was last seen.
    """

    id: int
    key_size: int
    count: int
    error: int
    hits: int
    misses: int
    bytes: int
    value_size: int | None


@dataclass(frozen=True, slots=True)
class BusyClient:
    """A client that does much: its ordinal (None: not known), operations, bytes both ways."""

    client: int | None
    count: int
    error: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CommandCounts:
    """What one command did; bytes of requests and of values returned, server times in ns."""

    events: int
    hits: int
    misses: int
    errors: int
    bytes_in: int
    bytes_out: int
    server_time_p50: int | None
    server_time_p99: int | None

    @property
    def hit_ratio(self) -> float | None:
        """Hits among the answers that tell, 0…1."""
        told = self.hits + self.misses
        return self.hits / told if told else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One interval of a source.

    Attributes:
        source: As it was asked for.
        elapsed_s: Since the start.
        interval_s: How long was counted.
        events: Operations on one key each.
        key_bound: How often a key may have been used without being among `keys`, and by how much a
            count may be too high.
        keys: By how often they were used.
        clients: By how many operations they made.
        commands: By name.
        lost: Since the start, each loss that is not 0.
        connections_open: Connections that are open.
    """

    source: str
    elapsed_s: float
    interval_s: float
    events: int
    key_bound: int
    keys: tuple[HotKey, ...]
    clients: tuple[BusyClient, ...]
    commands: Mapping[str, CommandCounts]
    lost: Mapping[str, int]
    connections_open: int

    @property
    def hit_ratio(self) -> float | None:
        """Hits among the answers that tell, 0…1."""
        hits = sum(command.hits for command in self.commands.values())
        told = hits + sum(command.misses for command in self.commands.values())
        return hits / told if told else None


@dataclass(frozen=True, slots=True)
class _Counted:
    events: int
    key_bound: int
    keys: tuple[HotKey, ...]
    clients: tuple[BusyClient, ...]
    commands: Mapping[str, CommandCounts]


class Top(Running):
    """A source that is watched; leaving its `with` block ends that.

    Iterating yields one `Snapshot` an interval.
    """

    def __init__(self, native: _native.Top, source: str, interval: float, most: int) -> None:
        """Take over what has started; use `membench.top` instead."""
        self._native = native
        self._source = source
        self._interval = interval
        self._most = most

    def _end(self) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Snapshot]:
        """Yield what each interval held, until the source ends or is stopped."""
        more = True
        while more:
            begun = time.monotonic()
            more = self.count(self._interval)
            yield self.take(time.monotonic() - begun)

    def count(self, seconds: float) -> bool:
        """Count for some time; False once the source has ended."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self._native.count(min(left, _TURN_S)):
                return False
        return True

    def take(self, interval_s: float) -> Snapshot:
        """Sum up what was counted since the last call."""
        status = self.status()
        counted = from_json(_Counted, self._native.take(self._most))
        return Snapshot(
            source=self._source,
            elapsed_s=status.elapsed_s,
            interval_s=interval_s,
            events=counted.events,
            key_bound=counted.key_bound,
            keys=counted.keys,
            clients=counted.clients,
            commands=counted.commands,
            lost=_losses(status),
            connections_open=status.connections_open,
        )

    def status(self) -> Status:
        """Return how far the capture behind it is."""
        return from_json(Status, self._native.status())

    def name(self, key_id: int) -> bytes | None:
        """Return a key in plaintext, if `show_keys=True` and it is still remembered.

        It is in memory only: print it on the operator's own terminal, and nowhere else.
        """
        return self._native.name(key_id)

    def stop(self) -> None:
        """End it."""
        self._native.stop()


def top(  # noqa: PLR0913 - all but one are keyword-only options
    source: str,
    *,
    interval: float = 1.0,
    most: int = 20,
    keys: int = DEFAULT_KEYS,
    side: Side = "server",
    ports: Sequence[int] | None = None,
    sockets: Sequence[str | os.PathLike[str]] = (),
    pids: Sequence[int] = (),
    cgroups: Sequence[str | os.PathLike[str]] = (),
    network_namespaces: Sequence[str | int] = (),
    responses: Responses = "bytes",
    ring_size: int = DEFAULT_RING_SIZE,
    key_file: str | os.PathLike[str] | None = None,
    show_keys: bool = False,
    drop_privileges: bool = False,
) -> Top:
    """Watch what is going on at `source`: hot keys, commands, clients; nothing is written.

    Args:
        source: What `record` takes.
        interval: Seconds that one snapshot covers.
        most: How many keys and clients a snapshot lists.
        keys: How many keys are counted at once; counts are at most 1/keys of all operations too
            high, and every key with a larger share is listed.
        side: As in `record`, and so are the next five.
        ports: Listening ports of the servers.
        sockets: Paths of UNIX-domain sockets.
        pids: Only these processes.
        cgroups: Only these control groups (v2).
        network_namespaces: Only these network namespaces.
        responses: How much of the responses to look at, as in `record`.
        ring_size: As in `record`.
        key_file: File with the key that makes key ids, as in `record`; a random one otherwise.
        show_keys: Remember keys in plaintext, in this process's memory, so that `name` finds them.
        drop_privileges: Give up every capability of this process once attached; irreversible.

    Raises:
        UsageError: An argument is wrong.
        CaptureUnavailableError: This machine or your permissions do not allow it; see `hint`.
    """
    parsed = sources.parse(source)
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
    if not interval > 0:
        raise UsageError(f"an interval of {interval} s", "a second or more")
    if keys < most or most < 1:
        raise UsageError(f"{most} of {keys} keys cannot be listed", "count more than are listed")
    from membench import _native  # noqa: PLC0415 - importing membench stays quick

    native = _native.Top(
        source,
        file=parsed.name_of(sources.Kind.FILE),
        interface=parsed.name_of(sources.Kind.LIBPCAP),
        hooked=parsed.name_of(sources.Kind.TRAFFIC_CONTROL),
        selection=selection,
        responses=responses,
        ring_size=ring_size,
        # Only memcached itself knows how many lines of its log it dropped.
        statistics=parsed.is_log,
        drop_privileges=drop_privileges,
        keys=keys,
        key_file=None if key_file is None else os.fspath(key_file),
        remember=show_keys,
    )
    return Top(native, source, interval, most)


def _losses(status: Status) -> dict[str, int]:
    losses = {
        "bytes": status.lost_bytes,
        "lines": status.lost_lines,
        "user_queue_drops": status.user_queue_drops,
    }
    return {cause: amount for cause, amount in losses.items() if amount}
