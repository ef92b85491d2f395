"""Summary of a profile → text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._ledger import Ledger, Packets
from membench._profile import Summary, Verification
from membench._server_run import ServerRun
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


def render_summary(
    name: str, info: Summary, verification: Verification | None = None
) -> RenderableType:
    """Lay out counts, origin, completeness and losses."""
    body = Table.grid(padding=(0, 3))
    body.add_column(no_wrap=True)
    body.add_column()
    rows = _rows(info)
    if verification is not None:
        rows += _verified(verification)
    for label, text in rows:
        body.add_row(label, Items(text))
    if info.ledger is not None and info.ledger.losses():
        body.add_row("lost", render_losses(info.ledger))
    return Group(_headline(name, info), Text(), body)


def _headline(name: str, info: Summary) -> Text:
    began = datetime.fromtimestamp(info.anchor.utc_ns / 1e9, UTC)
    return Text(
        f"{name}   {_at_least(info)}{info.duration_s:.1f} s   {numbered(info.events, 'event')}"
        f"   {_state(info)}   recorded {began:%Y-%m-%d %H:%M} UTC"
    )


def _state(info: Summary) -> str:
    if info.state == "sealed":
        return "sealed by `repair`" if info.repaired else "sealed"
    return "being recorded" if info.being_recorded else "NOT sealed: its recorder was killed"


def _at_least(info: Summary) -> str:
    """Qualify a figure that the recorder would have counted at its end."""
    return "" if info.stopped_by else "at least "


def _verified(found: Verification) -> list[tuple[str, str]]:
    rows = [("verified", f"{numbered(found.files, 'file')} as written, {size(found.bytes)}")]
    if found.unchecked:
        rows.append(("", f"without a checksum: {', '.join(found.unchecked)}"))
    rows += [("DAMAGED", text) for text in found.damaged]
    return rows


def _rows(info: Summary) -> list[tuple[str, str]]:
    how = [info.source, info.hooks, f"kernel {info.kernel}" if info.kernel else None]
    if info.responses:
        how.append(f"responses {info.responses}")
    if info.arrival is False:
        how.append("without arrivals")
    if is_from_log(info):
        how.append("from memcached's own log")
    rows = [
        ("recorded", ", ".join(part for part in how if part)),
        *(("server", _server(run)) for run in info.server_runs),
        (
            "requests",
            f"{info.requests:,} on {_at_least(info)}{numbered(info.connections, 'connection')}",
        ),
        ("commands", _shares(info.commands)),
        ("outcomes", _shares(info.outcomes)),
        ("complete", _accounted(info)),
        *([] if info.ledger is None else _told(info.ledger)),
        ("stored", _storage(info)),
        ("keys", f"ids by the key with fingerprint {info.key_fingerprint or 'unknown'}"),
        ("ended by", _ending(info)),
    ]
    if not info.sample.is_all:
        left_out = "an unknown number of" if info.sampled_out is None else f"{info.sampled_out:,}"
        sampled = f"{info.sample}; {left_out} events left out"
        rows.insert(1, ("sampled", sampled))
    if is_from_client(info):
        rows.append(("times", f"of the client's sends; {SEEN_BY_CLIENT}"))
    if is_from_log(info):
        rows.append(("times", "of memcached's log: after it read and parsed the request"))
        rows.append(("not known", NOT_IN_A_LOG))
    return rows


def _server(run: ServerRun) -> str:
    parts = [
        f"memcached {run.version}" if run.version else None,
        f"pid {run.pid}" if run.pid else None,
        run.listening,
        f"-t {run.threads}" if run.threads else None,
        f"-m {run.memory >> 20}" if run.memory else None,
        f"began at {run.began_s:.1f} s" if run.began_s is not None else None,
        f"ended at {run.ended_s:.1f} s" if run.ended_s is not None else None,
    ]
    return ", ".join(part for part in parts if part)


def _told(ledger: Ledger) -> list[tuple[str, str]]:
    """Rows about what was seen but is no event."""
    rows = []
    if ledger.tls_connections:
        rows.append(("TLS", describe_tls(ledger)))
    if ledger.misses_aside:
        rows.append(("overlooked", describe_misses(ledger)))
    if ledger.runs_skipped:
        rows.append(("skipped", describe_skips(ledger)))
    return rows + ([] if ledger.packets is None else _packets(ledger, ledger.packets))


def _packets(ledger: Ledger, packets: Packets) -> list[tuple[str, str]]:
    return [
        (
            "packets",
            f"{packets.taken:,}, of which {packets.followed:,} on these ports;"
            f" {packets.duplicates:,} captured twice, {packets.out_of_order:,} out of order,"
            f" {packets.retransmitted_bytes:,} B retransmitted",
        ),
        *(("", line) for line in describe_oddities(ledger)),
        (
            "times",
            "of packets; server time: request's last packet → response's last packet",
        ),
    ]


def _ending(info: Summary) -> str:
    if info.being_recorded:
        return "it is still being recorded"
    ending = info.stopped_by or "its recorder was killed"
    if info.state != "sealed":
        ending += "; `membench repair` seals what it left"
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
    ledger = info.ledger
    if ledger is None:
        return "unknown: the recorder counts what was lost when it ends"
    what = "" if ledger.log_lines else "bytes "
    amount = f"{what}{describe_amount(ledger)}"
    return f"{_completeness(ledger, info.requests)}: {amount}; {ledger.boundary:,} at the edges"


def _completeness(ledger: Ledger, requests: int) -> str:
    if ledger.complete:
        return "yes, lost 0"
    if ledger.complete is None:
        return "unknown, it could not be sealed when it ended"
    return f"NO, {percent(ledger.loss_share(requests))} may be missing"


def _storage(info: Summary) -> str:
    each = f" ({info.bytes / info.events:.1f} B an event)" if info.events else ""
    unsealed = ""
    if info.unsealed_events or info.cut_bytes:
        unsealed = f"; {info.unsealed_events:,} events unsealed, {info.cut_bytes:,} B cut off"
    return f"{numbered(info.parts, 'part')}, {size(info.bytes)}{each}{unsealed}"
