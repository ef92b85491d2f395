"""Captures that run and recordings → text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._ledger import BYTE_LOSSES, Ledger
from membench._record import Difference, Pace, Recording, ServerStatus, Status
from membench._server_run import ServerRun
from membench._sources import SourceKind
from membench.report.basis import NOT_IN_A_LOG
from membench.report.numbers import clock, count, duration, numbered, percent, rate, size
from membench.report.observe import describe_observation

# Cause of loss → meaning, and remedy.
_CAUSES = {
    "ring_full": ("the ring buffer was full", "a larger --ring-size"),
    "missed": ("read without a call that was seen", "see docs/capture.md"),
    "record_limit": ("beyond the 272 KiB kept of one call", "smaller multi-gets, or packets"),
    "other_syscall": ("moved by a call whose buffers are not located", "see docs/capture.md"),
    "io_uring": ("moved by io_uring, which cannot be read", "see docs/capture.md"),
    "kernel_thread": ("moved by kernel threads", "see docs/capture.md"),
    "compat_task": ("moved by 32-bit programs", "see docs/capture.md"),
    "fault": ("in memory that was paged out", "see docs/capture.md"),
    "no_state": ("on sockets for which the kernel had no memory", "see docs/capture.md"),
    "udp": ("in UDP datagrams that are not decoded", "see docs/capture.md"),
    "other_family": ("on sockets that are not IPv4 or IPv6", "see docs/capture.md"),
    "unattended": ("while this recorder was stopped for 2 s or more", "let it run"),
    "orphaned": ("read long after the connection was closed", "see docs/capture.md"),
    "late": ("written too slowly: what follows was decoded before", "a CPU to spare"),
    "truncated": ("needed but not kept", "see docs/capture.md"),
    "unsynced": ("not memcached's protocols, or skipped after a loss", "see docs/capture.md"),
    "unpaired": ("requests whose response was not seen", "see docs/capture.md"),
    "unmatched": ("responses without a request", "see docs/capture.md"),
    "options_cut": (
        "requests kept with some of their flags: too many different combinations",
        "see docs/capture.md",
    ),
    "packets_dropped": (
        "packets that the capture itself dropped",
        "a larger buffer: `--ring-size`, `tcpdump -B`",
    ),
    "fragments": ("packets that the network cut up", "a smaller MTU at the sender"),
    "packets_unreadable": ("packets cut short or not understood", "`tcpdump -s 0`"),
    "malformed": ("records of the kernel programs that broke their format", "report this"),
    "file_damaged": ("the file could not be read to its end", "capture it again"),
    "program_misses": (
        "runs the kernel skipped, perhaps for calls that leave no gap",
        "see docs/capture.md",
    ),
    "user_queue_drops": ("events that came faster than they were taken", "a faster consumer"),
    "unwritten": ("events that could not be written", "space on the disk, see `unwritten` below"),
    "log_skipped": ("lines memcached skipped: they were read too slowly", "record `ebpf:any`"),
    "log_dropped": (
        "lines memcached's threads had no room for",
        "memcached `-o worker_logbuf_size=4096`, or record `ebpf:any`",
    ),
    "log_unparsed": ("lines that are none of memcached's log", "see docs/capture.md"),
}
#: What causes mean of packets, where it is another thing.
_CAUSES_OF_PACKETS = {
    "missed": (
        "received by the other side, but not captured",
        "a larger buffer; see docs/capture.md",
    ),
    "truncated": ("needed but not captured", "`tcpdump -s 0`"),
    "udp": ("in UDP datagrams cut before their content", "`tcpdump -s 0`"),
    "no_state": ("on more connections than are kept apart", "fewer ports, or one interface"),
}
#: What was captured, by whether it holds requests and answers, if it lacks one of them.
_ONLY = {
    (True, False): "only requests were captured, and no answer",
    (False, True): "only answers were captured, and no request",
}
_READING = ("get", "gets", "gat", "gats", "mg", "me")
_STORING = ("set", "add", "replace", "append", "prepend", "cas", "ms")


def render_start(status: Status, responses: str, *, arrival: bool = True) -> RenderableType:
    """Name the servers that are recorded, and the way of recording."""
    kind = SourceKind(status.kind)
    rows = [_describe_server(server) for server in status.servers]
    label = "recording"
    if not rows and kind is not SourceKind.SOCKETS:
        label = "reading"
    elif not rows and status.state == "waiting":
        label, rows = (
            "waiting",
            ["no listener found yet; servers are recorded as soon as they appear"],
        )
        if status.elsewhere:
            rows.append(f"memcached runs here on {status.elsewhere}: --port names it")
    elif not rows:
        rows = ["what applications on this machine send there"]
    rows.append(f"{_how(status, responses, arrival=arrival)}; keys leave memory only as keyed ids")
    rows += _describe_guards(status)
    return Text("\n".join(f"{label if not at else '':<9}  {row}" for at, row in enumerate(rows)))


def _how(status: Status, responses: str, *, arrival: bool) -> str:
    kind = SourceKind(status.kind)
    if kind.is_log:
        return "memcached's own log: no server time, batches or deletes"
    if kind in (SourceKind.LIBPCAP, SourceKind.FILE):
        return f"packets of {status.source}"
    why = f" ({status.fallback})" if status.fallback else ""
    if kind is SourceKind.INTERFACE:
        return f"packets of {status.source} by {status.hooks}{why}, kernel {status.kernel}"
    kept = f"responses: {responses}" + ("" if arrival else ", no arrivals")
    return f"{status.hooks} hooks{why}, kernel {status.kernel}, {kept}"


def render_status(status: Status) -> Text:
    """Write the line that shows a capture is alive."""
    lost = ", ".join(_lost(status)) or "0"
    pace, last = status.pace, "Ctrl-C ends"
    if pace.late:
        last = f"BEHIND {pace.lag_s:.1f} s ring {pace.ring_fill * 100:.0f} %"
    return Text(
        f"  {clock(status.elapsed_s)}  {count(status.events_per_s)} events/s"
        f"   {count(status.events)} events   {size(status.bytes_written)}   lost {lost}"
        f"   own CPU {status.cpu_share * 100:.0f} %   {last}"
    )


def _lost(status: Status) -> Iterator[str]:
    if status.lost_bytes:
        yield size(status.lost_bytes)
    if status.lost_packets:
        yield f"{count(status.lost_packets)} packets"
    if status.lost_lines:
        yield f"{count(status.lost_lines)} lines"


def render_recording(recording: Recording) -> RenderableType:
    """Sum up a recording: its content, its completeness, its cost."""
    body = Table.grid(padding=(0, 2))
    body.add_column(no_wrap=True)
    body.add_column()
    body.add_row("  requests", _requests(recording))
    if recording.why_empty is not None:
        body.add_row("  empty", Text(recording.why_empty))
    if not recording.sample.is_all:
        left_out = f"{recording.sampled_out:,} events left out" * (recording.sampled_out > 0)
        body.add_row("  sampled", f"{recording.sample}   {left_out}".rstrip())
    for line in describe_restarts(recording.server_runs):
        body.add_row("  servers", Text(line))
    _add_completeness(body, recording)
    body.add_row("  cost", _cost(recording))
    for line in describe_observation(recording.observed):
        body.add_row("  observed", Text(line))
    if recording.pace != Pace():
        body.add_row("  pace", _pace(recording.pace))
    for label, line in _ending(recording):
        body.add_row(f"  {label}", Text(line))
    return Group(_headline(recording), body)


def _ending(recording: Recording) -> Iterator[tuple[str, str]]:
    """Name what was out of the ordinary about the end, and about what is left."""
    if recording.ended.is_early:
        yield "stopped", recording.ended.reason
    if recording.damage is not None:
        yield "unread", recording.damage
    if recording.others:
        yield "others", _others(recording.others)
    if recording.removal is not None:
        yield "left", f"programs that `{recording.removal}` removes"
    if recording.write_error is not None:
        yield "unwritten", f"from here on: {recording.write_error}"


def describe_restarts(runs: Sequence[ServerRun]) -> Iterator[str]:
    """Name the servers that ended or began meanwhile: `pid 17753 ended at 4.0 s`, by place."""
    for place in dict.fromkeys(run.listening for run in runs):
        changes = [
            f"{_process(run)} {what} at {at:.1f} s"
            for run in runs
            if run.listening == place
            for what, at in (("began", run.began_s), ("ended", run.ended_s))
            if at is not None
        ]
        if changes:
            yield f"{place}: {', '.join(changes)}"


def _process(run: ServerRun) -> str:
    return f"pid {run.pid}" if run.pid else "a process hidden from you"


def _others(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    are = "are" if more else "is"
    return f"{paths[0]}{more} {are} of an earlier recording and left alone"


def describe_amount(ledger: Ledger) -> str:
    """Name the amount recorded: bytes, or lines of memcached's log."""
    if not ledger.log_lines:
        return f"{ledger.request_bytes:,} requested, {ledger.response_bytes:,} answered"
    steps = ledger.log_clock_steps
    moved = f", its clock was set back {steps} times" if steps else ""
    return f"{ledger.log_lines:,} lines of memcached's log{moved}"


def describe_misses(ledger: Ledger) -> str:
    """Name the changes of sockets that the kernel's programs missed."""
    missed = f"{ledger.misses_aside:,} socket state changes were missed"
    return f"{missed}: some connections may show no end (not a loss)"


def describe_skips(ledger: Ledger) -> str:
    """Name the runs of the kernel's programs that were skipped, and what that cost the servers."""
    return (
        f"{ledger.runs_skipped:,} runs skipped on this machine, of which {ledger.missed:,} bytes of"
        f" this server; standby programs recorded {ledger.calls_recovered:,} calls"
    )


def describe_tls(ledger: Ledger) -> str:
    """Name the connections that carry TLS, and what can be recorded instead."""
    carry = "carries" if ledger.tls_connections == 1 else "carry"
    return (
        f"{numbered(ledger.tls_connections, 'connection')} {carry} TLS, which cannot be read"
        " → a listener without it (memcached `-l notls:…`), or its log, `watch:HOST:PORT`"
    )


def describe_oddities(ledger: Ledger) -> Iterator[str]:
    """Name what was odd about packets, none of which is a loss in itself."""
    packets = ledger.packets
    if packets is None:
        return
    captured = (ledger.request_bytes > 0, ledger.response_bytes > 0)
    if ledger.missed and captured in _ONLY:
        yield f"{_ONLY[captured]} → a filter or a mirror that passes both directions"
    if packets.cut:
        yield (
            f"packets that were not captured to their end (a snap length): {packets.cut:,}; what"
            " lies in values is no loss, the rest is `truncated` and `unsynced` → `tcpdump -s 0`"
        )
    if packets.clock_steps:
        steps = packets.clock_steps
        often = "once" if steps == 1 else f"{steps:,} times"
        yield f"the capture's clock was set {often}: times go on from the latest before"
    if packets.encapsulated:
        yield f"packets inside others (VXLAN, GRE, …): {packets.encapsulated:,}"
    if packets.foreign:
        yield f"UDP datagrams on the ports that are not memcached's: {packets.foreign:,}"


def render_losses(ledger: Ledger) -> Table:
    """List the losses by cause, each with its remedy."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    causes = _CAUSES if ledger.packets is None else _CAUSES | _CAUSES_OF_PACKETS
    for cause, amount in ledger.losses().items():
        meaning, remedy = causes[cause]
        shown = size(amount) if cause in BYTE_LOSSES else count(amount)
        table.add_row(cause, shown, f"{meaning} → {remedy}")
    return table


def _describe_server(server: ServerStatus) -> str:
    version = f"memcached {server.version}" if server.version else "memcached"
    threads = f", {server.threads} threads" if server.threads else ""
    pid = f" pid {server.pid}" if server.pid else ""
    connections = ""
    if server.connections is not None:
        connections = f", {count(server.connections)} connections open"
    apart = server.network_namespace
    namespace = f", in network namespace {apart}" if apart is not None else ""
    return f"{version}{pid} {server.listening}{namespace}{threads}{connections}"


def _headline(recording: Recording) -> Text:
    name = recording.profile or "not kept"
    if len(recording.profiles) > 1:
        name = f"{recording.profiles[0]} … {Path(name).name}"
    silent = recording.silent_connections
    apart = f"; {silent:,} more without a byte (health checks)" if silent else ""
    return Text(
        f"{name}   {numbered(recording.events, 'event')} in {recording.duration_s:.1f} s"
        f" from {numbered(recording.connections - silent, 'connection')}"
        f" ({recording.open_at_start:,} open at start{apart})"
    )


def _requests(recording: Recording) -> Text:
    commands = recording.commands
    gets, sets = _sum(commands, _READING), _sum(commands, _STORING)
    hits = recording.reads.hit_ratio
    ratio = f" ({percent(hits)} hits)" if hits is not None else ""
    deletes = commands.get("delete", 0) + commands.get("md", 0)
    other = recording.events - gets - sets - deletes
    return Text(
        f"{recording.requests:,}   gets {count(gets)}{ratio}   sets {count(sets)}"
        f"   deletes {count(deletes)}   other {count(other)}"
    )


def _sum(commands: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(commands.get(name, 0) for name in names)


def _add_completeness(body: Table, recording: Recording) -> None:
    ledger = recording.ledger
    if ledger.complete and recording.why_empty is not None:
        body.add_row("", "nothing to account for")
    elif ledger.complete:
        what = "line" if ledger.log_lines else "byte"
        body.add_row("  complete", f"every {what} accounted for: {describe_amount(ledger)}; lost 0")
    else:
        share = percent(recording.loss_share())
        body.add_row("  incomplete", f"{share} may be missing of {describe_amount(ledger)}")
        body.add_row("", render_losses(ledger))
    if ledger.tls_connections:
        body.add_row("  TLS", Text(describe_tls(ledger)))
    for line in _remarks(recording):
        body.add_row("", line)
    if ledger.log_lines:
        body.add_row("  not known", Text(NOT_IN_A_LOG))


def _remarks(recording: Recording) -> Iterator[str]:
    ledger = recording.ledger
    yield from _compare_counters(recording.differences)
    if recording.uncompared:
        yield _uncompared(recording.uncompared)
    if recording.counters_reset:
        yield _reset(recording.counters_reset)
    yield f"{ledger.boundary:,} B at the edges: begun before the start or unfinished"
    if ledger.misses_aside:
        yield describe_misses(ledger)
    if ledger.runs_skipped:
        yield describe_skips(ledger)
    yield from describe_oddities(ledger)


def _compare_counters(differences: Sequence[Difference]) -> Iterator[str]:
    apart = [one for one in differences if one.server != one.recorded]
    agree = [one for one in differences if one.server == one.recorded]
    if agree and not any(one.counter != "cmd_get" for one in apart):
        yield f"memcached's own counters agree ({', '.join(_counters(agree))})"
    for one in apart:
        server = one.path or f"port {one.port}"
        yield (
            f"{server} says {one.counter} {one.server:,}, recorded {one.recorded:,}"
            f" ({one.recorded - one.server:+,})"
        )


def _uncompared(servers: int) -> str:
    who = "one server's own counters were" if servers == 1 else f"{servers} servers' counters were"
    return f"{who} not asked: in another network namespace, gone, or silent"


def _reset(servers: int) -> str:
    who = "one server set its" if servers == 1 else f"{servers} servers set their"
    return f"{who} counters to 0 meanwhile (`stats reset`): not compared"


def _counters(differences: Iterable[Difference]) -> list[str]:
    return list(dict.fromkeys(one.counter for one in differences))


def _pace(pace: Pace) -> Text:
    late = f"   late {count(pace.late)} times → --ring-size, or a CPU to spare" if pace.late else ""
    return Text(
        f"ring at most {percent(pace.ring_fill)} full, emptied within {duration(pace.lag_s * 1e9)}"
        f"{late}"
    )


def _describe_guards(status: Status) -> Iterator[str]:
    """Name how the recorder makes way for others, and what ends it by itself."""
    held = status.yielding
    back = [f"nice {held.nice}"] * (held.nice is not None)
    back += [f"oom_score_adj {held.oom_score_adj}"] * (held.oom_score_adj is not None)
    limits = status.limits
    ends = [f"over {percent(limits.max_cpu or 0)} CPU"] * (limits.max_cpu is not None)
    ends += [f"{size(limits.max_memory or 0)} memory"] * (limits.max_memory is not None)
    ends += [f"{size(limits.max_written or 0)} written"] * (limits.max_written is not None)
    ends += [f"under {size(limits.min_free or 0)} disk left"] * (limits.min_free is not None)
    if back:
        yield f"guards: {', '.join(back)}; the server is left alone once this is silent for 2 s"
    if ends:
        yield f"ends by itself: {', '.join(ends)}"


def _cost(recording: Recording) -> Text:
    cost = recording.cost
    each = f" ({duration(cost.ns_per_event)} an event)" if cost.ns_per_event is not None else ""
    written = ""
    if cost.bytes_per_event is not None:
        written = f" ({cost.bytes_per_event:.1f} B an event)"
    mean = rate(recording.events / recording.duration_s) if recording.duration_s else "0/s"
    return Text(
        f"own CPU {cost.cpu_s:.2f} s{each}   {size(cost.bytes_written)} written{written}   {mean}"
    )
