"""Source → hot keys, commands and clients right now, one interval after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from membench import _arguments as check, _native
from membench._options import (
    DEFAULT_RING_SIZE,
    NO_GUARDS,
    Guards,
    Options,
    Responses,
    Selection,
    select,
)
from membench._record import Status
from membench._results import from_json
from membench._running import Running
from membench._sources import SourceKind
from membench.errors import UsageError

# Keys counted at once: the count of a key is too high by at most 1/4096 of all operations.
DEFAULT_KEYS = 4096
# The engine reserves room for all of them.
MOST_KEYS = 1 << 22
# How long memcached and the sorting of its lines may hold them back, s.
_LOG_LAG_S = 1.2
# How long one wait in the engine lasts before Python looks at signals again, s.
_TURN_S = 0.1


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key that is used often.

    Attributes:
        id: Its keyed id.
        count: Operations on it, at most `error` too many.
        error: Bound on the error of the counts.
        hits: Hits on it; like `misses` and `bytes` of values, at most `error` too few.
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
    """A busy client: its ordinal (None: unknown), operations, bytes both ways.

    Attributes:
        address: Its address, with `show_clients=True`, if it has one and is still remembered.
    """

    client: int | None
    count: int
    error: int
    bytes: int
    address: str | None = None


@dataclass(frozen=True, slots=True)
class CommandCounts:
    """Counts of one command: events, bytes of requests and of answers, server times, ns."""

    events: int
    hits: int
    misses: int
    errors: int
    bytes_in: int
    bytes_out: int
    server_time_p50_ns: int | None
    server_time_p99_ns: int | None

    @property
    def hit_ratio(self) -> float | None:
        """Hits among answers that are a hit or a miss, 0…1."""
        known = self.hits + self.misses
        return self.hits / known if known else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One interval of a source.

    Attributes:
        source: The source that was asked for.
        elapsed_s: Time since the start, s; of a stored source, by its own times.
        interval_s: Time that was counted, s; of a stored source, by its own times.
        events: Operations on one key each.
        key_bound: Most uses of a key that is not among `keys`, and most by which a count is too
            high.
        keys: Keys, the most used first.
        clients: Clients, the busiest first.
        commands: Counts by command.
        lost: Losses since the start that are not 0, by what was lost.
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
        """Hits among answers that are a hit or a miss, 0…1."""
        hits = sum(command.hits for command in self.commands.values())
        known = hits + sum(command.misses for command in self.commands.values())
        return hits / known if known else None


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

    def __init__(self, native: _native.Top, source: str, interval_s: float, limit: int) -> None:
        """Take over a capture that has started; use `membench.top` instead."""
        self._native = native
        self._source = source
        self._interval_s = interval_s
        self._limit = limit
        self._covered_s = 0.0

    def _end(self) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Snapshot]:
        """Yield a snapshot of each interval, until the source ends or is stopped."""
        more = True
        self.settle()
        while more:
            begun = time.monotonic()
            more = self.count(self._interval_s)
            yield self.take(time.monotonic() - begun)

    def settle(self) -> None:
        """Pass over the time by which memcached's own log lags, so that a full interval follows."""
        if SourceKind(self.status().kind) is SourceKind.WATCH:
            self.count(_LOG_LAG_S)
            self.take(_LOG_LAG_S)

    @property
    def is_stored(self) -> bool:
        """True if a file is watched, whose own times count: an interval without events is none."""
        return self._native.is_stored

    def count(self, seconds: float) -> bool:
        """Count for some time, of a stored source by its own; False once the source has ended."""
        if self.is_stored:
            while (more := self._native.count_stored(seconds, _TURN_S)) is None:
                pass
            return more
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self._native.count(min(left, _TURN_S)):
                return False
        return True

    def take(self, interval_s: float) -> Snapshot:
        """Sum up what was counted since the last call, in `interval_s` of a live source."""
        status = self.status()
        counted = from_json(_Counted, self._native.take(self._limit))
        elapsed_s = status.elapsed_s
        if self.is_stored:
            # The recorder reads ahead.
            before, self._covered_s = self._covered_s, self._native.covered_s()
            elapsed_s, interval_s = self._covered_s, self._covered_s - before
        return Snapshot(
            source=self._source,
            elapsed_s=elapsed_s,
            interval_s=interval_s,
            events=counted.events,
            key_bound=counted.key_bound,
            keys=counted.keys,
            clients=tuple(self._addressed(client) for client in counted.clients),
            commands=counted.commands,
            lost=_losses(status),
            connections_open=status.connections_open,
        )

    def status(self) -> Status:
        """Return how far the underlying capture is."""
        return from_json(Status, self._native.status())

    def name(self, key_id: int) -> bytes | None:
        """Return a key in plaintext, if `show_keys=True` and it is still remembered.

        Keys are in memory only: print them on the operator's own terminal, and nowhere else.
        """
        return self._native.name(key_id)

    def _addressed(self, client: BusyClient) -> BusyClient:
        address = None if client.client is None else self._native.address(client.client)
        return client if address is None else replace(client, address=address)

    def stop(self) -> None:
        """End it."""
        self._native.stop()


def top(  # noqa: PLR0913 - all but one are keyword-only options
    source: str | Sequence[str],
    *,
    interval_s: float = 1.0,
    limit: int = 20,
    keys: int = DEFAULT_KEYS,
    ports: Sequence[int] | Literal["any"] | None = None,
    selection: Selection | None = None,
    responses: Responses = "bytes",
    ring_size: int = DEFAULT_RING_SIZE,
    wait: bool = False,
    key_file: str | os.PathLike[str] | None = None,
    show_keys: bool = False,
    show_clients: bool = False,
    drop_privileges: bool = False,
    guards: Guards | None = None,
) -> Top:
    """Watch what is going on at `source`: hot keys, commands, clients; nothing is written.

    Args:
        source: The place to watch, as in `record`.
        interval_s: Seconds that one snapshot covers; of a stored source, by its own times.
        limit: Number of keys, and of clients, that a snapshot lists.
        keys: Number of keys counted at once; counts are too high by at most 1/keys of all
            operations, and every key with a larger share is listed.
        ports: Listening ports of the servers, as in `record`.
        selection: The connections to follow, as in `record`.
        responses: The part of the responses to look at, as in `record`.
        ring_size: Bytes of the buffer between the kernel and this process, as in `record`.
        wait: Begin before there is a server, as in `record`.
        key_file: File with the key that makes key ids, as in `record`; a random one otherwise.
        show_keys: Remember keys in plaintext, in this process's memory, so that `name` finds them.
        show_clients: Remember clients' addresses, in this process's memory, for `clients`.
        drop_privileges: Give up every capability of this process once attached; irreversible.
        guards: Limits that end it before it does harm, none unless given; `Status.ended` names the
            one that was reached. `Guards.of_command()` has those of the command line.

    Raises:
        UsageError: An argument is wrong.
        CaptureUnavailableError: This machine or your permissions do not allow it; see `hint`.
    """
    check.seconds("an interval", interval_s)
    check.whole("a number of keys to list", limit, 1, MOST_KEYS)
    check.whole("a number of keys to count", keys, 1, MOST_KEYS)
    if keys < limit:
        raise UsageError(f"{limit} of {keys} keys cannot be listed", "count more than are listed")
    check.flags(show_keys=show_keys, show_clients=show_clients)
    options = Options(
        selection=select(selection, ports),
        responses=responses,
        ring_size=ring_size,
        wait=wait,
        key_file=check.path_of("key_file", key_file),
        drop_privileges=drop_privileges,
        guards=NO_GUARDS if guards is None else guards,
    )
    sources = check.sources(source)
    native = _native.Top(sources, options, keys=keys, remember=show_keys, addresses=show_clients)
    return Top(native, " ".join(sources), interval_s, limit)


def _losses(status: Status) -> dict[str, int]:
    losses = {
        "bytes": status.lost_bytes,
        "packets": status.lost_packets,
        "lines": status.lost_lines,
        "user_queue_drops": status.user_queue_drops,
    }
    return {cause: amount for cause, amount in losses.items() if amount}
