"""The ledger of a capture: bytes seen and bytes lost, by cause."""

from __future__ import annotations

from dataclasses import dataclass

# Loss terms in bytes.
BYTE_LOSSES = (
    "ring_full",
    "missed",
    "record_limit",
    "other_syscall",
    "io_uring",
    "kernel_thread",
    "compat_task",
    "fault",
    "no_state",
    "udp",
    "other_family",
    "unattended",
    "orphaned",
    "late",
    "truncated",
    "unsynced",
)
# Loss terms in occurrences: requests, responses, packets, files, runs or events.
COUNTED_LOSSES = (
    "unpaired",
    "unmatched",
    "options_cut",
    "packets_dropped",
    "fragments",
    "packets_unreadable",
    "malformed",
    "file_damaged",
    "program_misses",
    "user_queue_drops",
    "unwritten",
)
# Loss terms in lines of memcached's log.
LINE_LOSSES = ("log_skipped", "log_dropped", "log_unparsed")
LOSSES = BYTE_LOSSES + COUNTED_LOSSES + LINE_LOSSES


@dataclass(frozen=True, slots=True)
class Flow:
    """Bytes of one direction of one server's connections, by their fate.

    `seen` is the sum of all but `missed`.

    Attributes:
        seen: Bytes moved by calls that were seen.
        parsed: Lines and headers that became requests or responses.
        value_skipped: Value bytes, skipped by their declared length.
        text_skipped: Bytes inside a reply that is a list (`stats`, …), skipped to its last line.
        boundary: Messages begun before the start or unfinished at the end: not a loss.
        unsynced: Bytes scanned for the next message after a loss.
        truncated: Holes where bytes were needed, and the messages they cut.
        not_decoded: Bytes seen by the kernel programs but lost before decoding.
        missed: Bytes moved without a call that was seen, from gaps in the TCP sequence.
    """

    seen: int = 0
    parsed: int = 0
    value_skipped: int = 0
    text_skipped: int = 0
    boundary: int = 0
    unsynced: int = 0
    truncated: int = 0
    not_decoded: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class ServerFlows:
    """One server's share of the ledger.

    Attributes:
        server: Ordinal of the server, as in the connections table.
        port: Its listening port; 0 for a UNIX-domain socket.
        pid: Its process id, in the initial pid namespace; 0 for packets and clients, which do not
            show it.
        network_namespace: The inode number of its network namespace; 0 for a capture file.
        request: Bytes it read.
        response: Bytes it wrote.
        path: The path of its UNIX-domain socket.
        address: Its address, for packets and clients.
    """

    server: int
    port: int
    pid: int
    network_namespace: int
    request: Flow
    response: Flow
    path: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets of a capture, by kind; none of these is a loss.

    Attributes:
        taken: Packets captured.
        followed: TCP packets of the recorded ports.
        datagrams: UDP datagrams of memcached, of the recorded ports.
        foreign: UDP datagrams of other protocols, from or to the recorded ports.
        encapsulated: Packets that were carried inside others: VXLAN, GRE, …
        cut: Packets of the recorded ports that were not captured to their end: a snap length.
        other: Other packets.
        duplicates: Packets captured twice, on the same or another interface.
        retransmitted_bytes: Payload that had been captured before, bytes.
        out_of_order: Packets that arrived before an earlier one of their direction.
        reused: Connections opened while one with the same addresses had not ended.
        clock_steps: Number of times that the capture's clock was set; times go on from there.
    """

    taken: int = 0
    followed: int = 0
    datagrams: int = 0
    foreign: int = 0
    encapsulated: int = 0
    cut: int = 0
    other: int = 0
    duplicates: int = 0
    retransmitted_bytes: int = 0
    out_of_order: int = 0
    reused: int = 0
    clock_steps: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Account of every byte that the servers moved while recording.

    Fields without an entry below are loss terms; docs/capture.md explains each. They count bytes,
    except `unpaired` and `options_cut` (requests), `unmatched` (responses), `packets_dropped`,
    `fragments` and `packets_unreadable` (packets), `malformed` (records of the kernel programs),
    `file_damaged` (files), `program_misses` (runs), `user_queue_drops` and `unwritten` (events) and
    the terms of a log (lines).

    Attributes:
        complete: True if every loss term is 0; None while recording and if not sealed.
        request_bytes: Bytes the servers read.
        response_bytes: Bytes the servers wrote.
        own_request_bytes: The recorder's own requests (`stats`) in `request_bytes`; they make no
            events.
        own_response_bytes: The answers to them in `response_bytes`.
        boundary: Bytes of messages begun before the start or unfinished at the end: not a loss.
        misses_aside: Skipped runs of kernel programs that see no bytes: the end of a connection or
            the arrival of its bytes may be unknown. Not a loss.
        runs_skipped: Skipped runs of kernel programs that see bytes, on any socket of the machine.
            Not a loss by itself: `missed` and `program_misses` are.
        calls_recovered: Calls that a standby program recorded, because the kernel had skipped the
            first program.
        tls_connections: Connections that carried TLS; their bytes are in `unsynced`.
        log_lines: Lines of memcached's log that were read; 0 for other sources.
        log_clock_steps: Number of times that memcached's clock was set back.
        ring_full_by_ring: Share of each ring in `ring_full`, bytes; empty for a single ring.
        packets: Packets by kind; None for sources other than packets.
        servers: The flows of each server.
    """

    complete: bool | None
    request_bytes: int
    response_bytes: int
    own_request_bytes: int = 0
    own_response_bytes: int = 0
    boundary: int = 0
    ring_full: int = 0
    missed: int = 0
    record_limit: int = 0
    other_syscall: int = 0
    io_uring: int = 0
    kernel_thread: int = 0
    compat_task: int = 0
    fault: int = 0
    no_state: int = 0
    udp: int = 0
    other_family: int = 0
    unattended: int = 0
    orphaned: int = 0
    late: int = 0
    truncated: int = 0
    unsynced: int = 0
    unpaired: int = 0
    unmatched: int = 0
    options_cut: int = 0
    packets_dropped: int = 0
    fragments: int = 0
    packets_unreadable: int = 0
    malformed: int = 0
    file_damaged: int = 0
    program_misses: int = 0
    user_queue_drops: int = 0
    unwritten: int = 0
    log_skipped: int = 0
    log_dropped: int = 0
    log_unparsed: int = 0
    log_lines: int = 0
    log_clock_steps: int = 0
    misses_aside: int = 0
    runs_skipped: int = 0
    calls_recovered: int = 0
    tls_connections: int = 0
    ring_full_by_ring: tuple[int, ...] = ()
    packets: Packets | None = None
    servers: tuple[ServerFlows, ...] = ()

    def losses(self) -> dict[str, int]:
        """Return every loss term that is not 0, by its name."""
        terms = {cause: int(getattr(self, cause)) for cause in LOSSES}
        return {cause: amount for cause, amount in terms.items() if amount}

    def loss_share(self, requests: int) -> float:
        """Return the largest share of bytes, requests or lines that may be missing, 0…1."""
        moved = self.request_bytes + self.response_bytes + self.missed
        lost_lines = self._lost(LINE_LOSSES)
        return max(
            _share(self._lost(BYTE_LOSSES), moved),
            _share(self._lost(COUNTED_LOSSES), requests),
            _share(lost_lines, self.log_lines + lost_lines - self.log_unparsed),
        )

    def _lost(self, causes: tuple[str, ...]) -> int:
        losses = self.losses()
        return sum(losses.get(cause, 0) for cause in causes)


def _share(lost: int, total: int) -> float:
    return min(1.0, lost / max(total, lost)) if lost else 0.0
