"""Summary of a profile → text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._profile import Summary
from membench.report.basis import NOT_IN_A_LOG, SEEN_BY_CLIENT, is_from_client, is_from_log
from membench.report.items import Items
from membench.report.numbers import numbered, percent, size
from membench.report.record import (
    describe_amount,
    describe_misses,
    describe_oddities,
    describe_skips,
    describe_tls,
    render_losses,
)


def render_summary(name: str, info: Summary) -> RenderableType:
    """Lay out counts, origin, completeness and losses."""
    body = Table.grid(padding=(0, 3))
    body.add_column(no_wrap=True)
    body.add_column()
    for label, text in _rows(info):
        body.add_row(label, Items(text))
    if info.ledger.losses():
        body.add_row("lost", render_losses(info.ledger))
    return Group(_headline(name, info), Text(), body)


def _headline(name: str, info: Summary) -> Text:
    state = "sealed" if info.state == "sealed" else "NOT sealed: still recording, or killed"
    began = datetime.fromtimestamp(info.anchor.utc_ns / 1e9, UTC)
    return Text(
        f"{name}   {info.duration_s:.1f} s   {numbered(info.events, 'event')}   {state}"
        f"   recorded {began:%Y-%m-%d %H:%M} UTC"
    )


def _rows(info: Summary) -> list[tuple[str, str]]:
    how = [info.source, info.hooks, f"kernel {info.kernel}" if info.kernel else None]
    if info.responses:
        how.append(f"responses {info.responses}")
    if is_from_log(info):
        how.append("from memcached's own log")
    rows = [
        ("recorded", ", ".join(part for part in how if part)),
        ("requests", f"{info.requests:,} on {numbered(info.connections, 'connection')}"),
        ("commands", _shares(info.commands)),
        ("outcomes", _shares(info.outcomes)),
        ("complete", _accounted(info)),
        *_encrypted(info),
        *_overlooked(info),
        *_packets(info),
        ("stored", _storage(info)),
        ("keys", f"ids by the key with fingerprint {info.key_fingerprint or 'unknown'}"),
        ("ended by", _ending(info)),
    ]
    if not info.sample.is_all:
        sampled = f"{info.sample}; {info.sampled_out:,} events left out"
        rows.insert(1, ("sampled", sampled))
    if is_from_client(info):
        rows.append(("times", f"of the client's sends; {SEEN_BY_CLIENT}"))
    if is_from_log(info):
        rows.append(("times", "of memcached's log: after it read and parsed the request"))
        rows.append(("not known", NOT_IN_A_LOG))
    return rows


def _encrypted(info: Summary) -> list[tuple[str, str]]:
    if not info.ledger.tls_connections:
        return []
    return [("TLS", describe_tls(info.ledger))]


def _overlooked(info: Summary) -> list[tuple[str, str]]:
    rows = []
    if info.ledger.misses_aside:
        rows.append(("overlooked", describe_misses(info.ledger)))
    if info.ledger.runs_skipped:
        rows.append(("skipped", describe_skips(info.ledger)))
    return rows


def _packets(info: Summary) -> list[tuple[str, str]]:
    packets = info.ledger.packets
    if packets is None:
        return []
    return [
        (
            "packets",
            f"{packets.taken:,}, of which {packets.followed:,} on these ports;"
            f" {packets.duplicates:,} captured twice, {packets.out_of_order:,} out of order,"
            f" {packets.retransmitted_bytes:,} B sent again",
        ),
        *(("", line) for line in describe_oddities(info.ledger)),
        (
            "times",
            "of packets; server time: request's last packet → response's last packet",
        ),
    ]


def _ending(info: Summary) -> str:
    ending = info.stopped_by or "unknown: it is still being recorded, or was killed"
    if info.state != "sealed":
        ending += "; `membench repair` seals what a killed recorder left"
    if info.repaired:
        ending += "; sealed by `repair`"
    if info.write_error:
        ending += f"; writing failed: {info.write_error}"
    return ending


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return "   ".join(f"{name} {amount:,} ({percent(amount / total)})" for name, amount in ranked)


def _accounted(info: Summary) -> str:
    if info.ledger.complete is None:
        return "unknown: the recorder counts what was lost when it seals a profile"
    what = "" if info.ledger.log_lines else "bytes "
    amount = f"{what}{describe_amount(info.ledger)}"
    return f"{_completeness(info)}: {amount}; {info.ledger.boundary:,} at the edges"


def _completeness(info: Summary) -> str:
    if info.ledger.complete:
        return "yes, lost 0"
    return f"NO, {percent(info.ledger.loss_share(info.requests))} may be missing"


def _storage(info: Summary) -> str:
    each = f" ({info.bytes / info.events:.1f} B an event)" if info.events else ""
    unsealed = ""
    if info.unsealed_events or info.cut_bytes:
        unsealed = f"; {info.unsealed_events:,} events unsealed, {info.cut_bytes:,} B cut off"
    return f"{numbered(info.parts, 'part')}, {size(info.bytes)}{each}{unsealed}"
