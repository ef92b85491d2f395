"""One interval of a source → a screen of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from rich.console import Group, RenderableType
from rich.text import Text

from membench._top import BusyClient, CommandCounts, HotKey, Snapshot
from membench.report.columns import Columns
from membench.report.numbers import clock, count, duration, percent, rate, size
from membench.report.plain import plain

# Lines that are not keys: title, warning, blank lines, headings, clients, footer.
_OTHER_LINES = 9
_COMMANDS = 6
_CLIENTS = 5
_NOTHING = "–"  # noqa: RUF001 - a dash


class Order(StrEnum):
    """Orders of keys."""

    OPERATIONS = "operations"
    BYTES = "bytes"
    MISSES = "misses"
    SIZE = "value size"

    @property
    def next(self) -> Order:
        """The next order in turn."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]


def render_top(
    snapshot: Snapshot,
    *,
    height: int = 24,
    order: Order = Order.OPERATIONS,
    name: Callable[[int], bytes | None] | None = None,
    keyboard: bool = False,
) -> RenderableType:
    """Lay out an interval in `height` lines; with `name`, keys are shown in plaintext."""
    commands = _ranked_commands(snapshot)[:_COMMANDS]
    room = max(height - _OTHER_LINES - len(commands) - (name is not None), 1)
    keys = sort_keys(snapshot.keys, order)[:room]
    parts: list[RenderableType] = [_title(snapshot)]
    if name is not None:
        parts.append(Text("keys in plaintext: on this terminal only, written nowhere"))
    parts += [Text(), _commands_table(snapshot, commands), Text()]
    parts += [_keys_table(snapshot, keys, name), _clients(snapshot), _footer(snapshot, order)]
    if keyboard:
        parts.append(Text("q quits   s changes the order"))
    return Group(*parts)


def sort_keys(keys: Iterable[HotKey], order: Order) -> list[HotKey]:
    """Sort keys, the largest amount first."""

    def amount(key: HotKey) -> int:
        match order:
            case Order.OPERATIONS:
                return key.count
            case Order.BYTES:
                return key.bytes
            case Order.MISSES:
                return key.misses
            case Order.SIZE:
                return key.value_size or 0

    return sorted(keys, key=lambda key: (-amount(key), -key.count))


def spell(key: bytes) -> str:
    """Write a key so that nothing in it can steer a terminal."""
    return plain(key.decode("utf-8", "backslashreplace"))


def _title(snapshot: Snapshot) -> Text:
    hits = snapshot.hit_ratio
    lost = "   ".join(f"lost {count(amount)} {cause}" for cause, amount in snapshot.lost.items())
    return Text(
        f"{snapshot.source}   {clock(snapshot.elapsed_s)}"
        f"   {_per_second(snapshot, snapshot.events)}"
        f"   hits {percent(hits) if hits is not None else _NOTHING}"
        f"   {count(snapshot.connections_open)} connections   {lost or 'lost 0'}",
        no_wrap=True,
        overflow="ellipsis",
    )


def _ranked_commands(snapshot: Snapshot) -> list[tuple[str, CommandCounts]]:
    return sorted(snapshot.commands.items(), key=lambda item: -item[1].events)


def _commands_table(
    snapshot: Snapshot, commands: Sequence[tuple[str, CommandCounts]]
) -> RenderableType:
    table = Columns("command", "rate", "hits", "in", "out", "server p50", "p99")
    for name, counts in commands:
        hits = counts.hit_ratio
        table.add(
            name,
            _per_second(snapshot, counts.events),
            percent(hits) if hits is not None else _NOTHING,
            _bytes_per_second(snapshot, counts.bytes_in),
            _bytes_per_second(snapshot, counts.bytes_out),
            _time(counts.server_time_p50_ns),
            _time(counts.server_time_p99_ns),
        )
    return table


def _keys_table(
    snapshot: Snapshot, keys: Sequence[HotKey], name: Callable[[int], bytes | None] | None
) -> RenderableType:
    table = Columns(
        "key" if name else "key id", "rate", "share", "hits", "value", "B/s", "at most +"
    )
    for key in keys:
        known = key.hits + key.misses
        table.add(
            _name(key, name),
            _per_second(snapshot, key.count),
            percent(key.count / snapshot.events),
            percent(key.hits / known) if known else _NOTHING,
            size(key.value_size) if key.value_size is not None else _NOTHING,
            _bytes_per_second(snapshot, key.bytes),
            _per_second(snapshot, key.error) if key.error else "0",
        )
    return table


def _name(key: HotKey, name: Callable[[int], bytes | None] | None) -> str:
    plain = name(key.id) if name else None
    return spell(plain) if plain is not None else f"{key.id:016x}"


def _clients(snapshot: Snapshot) -> Text:
    busiest = "   ".join(_client(snapshot, client) for client in snapshot.clients[:_CLIENTS])
    return Text(f"clients   {busiest or _NOTHING}", no_wrap=True, overflow="ellipsis")


def _client(snapshot: Snapshot, client: BusyClient) -> str:
    who = "unknown" if client.client is None else client.address or f"#{client.client}"
    return f"{who} {percent(client.count / snapshot.events)}"


def _footer(snapshot: Snapshot, order: Order) -> Text:
    bound = _per_second(snapshot, snapshot.key_bound) if snapshot.key_bound else "0"
    return Text(
        f"last {snapshot.interval_s:.1f} s, by {order}; a key's rate is at most {bound} too high, "
        f"and none above that is missing",
        no_wrap=True,
        overflow="ellipsis",
    )


def _per_second(snapshot: Snapshot, amount: int) -> str:
    return rate(amount / snapshot.interval_s) if snapshot.interval_s else rate(0)


def _bytes_per_second(snapshot: Snapshot, amount: int) -> str:
    # Of a file with events of one moment only, the interval is empty.
    return f"{size(amount / snapshot.interval_s if snapshot.interval_s else 0)}/s"


def _time(nanoseconds: int | None) -> str:
    return _NOTHING if nanoseconds is None else duration(nanoseconds)
