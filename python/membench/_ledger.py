"""The ledger of a capture: what was seen, what was lost, by cause."""

from __future__ import annotations

from dataclasses import dataclass

# Loss terms counted in bytes; the rest of `LOSSES` counts occurrences.
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
COUNTED_LOSSES = (
    "unpaired",
    "unmatched",
    "packets_dropped",
    "fragments",
    "packets_unreadable",
    "file_damaged",
    "program_misses",
    "user_queue_drops",
)
# Lines of memcached's log.
LINE_LOSSES = ("log_skipped", "log_dropped", "log_unparsed")
LOSSES = BYTE_LOSSES + COUNTED_LOSSES + LINE_LOSSES


@dataclass(frozen=True, slots=True)
class Flow:
    """Bytes of one direction of one server's connections, by what became of them."""

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
        server: Its ordinal, as in the connections table.
        port: Its listening port; 0 at a path.
        path: The path of its UNIX-domain socket.
        pid: Its process id, in the initial pid namespace; 0 where packets or clients were recorded.
        network_namespace: The inode number of its network namespace; 0 for a capture file.
        request: What it read.
        response: What it wrote.
        address: Its address, where packets or clients were recorded.
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
    """What packets were, beside the bytes they carried; none of it is a loss.

    Attributes:
        taken: Packets taken.
        followed: TCP of the ports that were recorded.
        other: Something else.
        duplicates: The same packet captured again, on another interface or twice.
        retransmitted_bytes: Payload that had been captured already: sent again.
        out_of_order: Packets that came before an earlier one of their direction.
        reused: Connections that began where one with the same addresses had not ended.
    """

    taken: int = 0
    followed: int = 0
    other: int = 0
    duplicates: int = 0
    retransmitted_bytes: int = 0
    out_of_order: int = 0
    reused: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where every byte went that the servers moved while recording.

    Attributes:
        complete: True when every loss term is 0; None while recording or when not sealed.
        request_bytes: What the servers read.
        response_bytes: What the servers wrote.
        own_request_bytes: Of `request_bytes`, what the recorder itself asked (`stats`): no events.
        own_response_bytes: Of `response_bytes`, what was answered to the recorder itself.
        boundary: Bytes of messages begun before the start or unfinished at the end: not a loss.
        misses_aside: Times a kernel program that sees no bytes did not run: the end of a
            connection, or when its bytes came, may be unknown. Not a loss.
        log_lines: Lines of memcached's log that were read; 0 for other sources.
        log_clock_steps: How often memcached's clock was set back meanwhile.
        ring_full_by_ring: Of `ring_full`, what each ring did not take, bytes.
        packets: What the packets were, where packets were recorded.
        servers: Each server apart.

    All others are loss terms: bytes, but for `unpaired` (requests), `unmatched` (responses),
    `packets_dropped`, `fragments` and `packets_unreadable` (packets), `file_damaged` (files),
    `program_misses` (calls), `user_queue_drops` (events) and those of a log (lines).
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
    packets_dropped: int = 0
    fragments: int = 0
    packets_unreadable: int = 0
    file_damaged: int = 0
    program_misses: int = 0
    user_queue_drops: int = 0
    log_skipped: int = 0
    log_dropped: int = 0
    log_unparsed: int = 0
    log_lines: int = 0
    log_clock_steps: int = 0
    misses_aside: int = 0
    ring_full_by_ring: tuple[int, ...] = ()
    packets: Packets | None = None
    servers: tuple[ServerFlows, ...] = ()

    def losses(self) -> dict[str, int]:
        """Every loss term that is not 0, by cause."""
        terms = {cause: int(getattr(self, cause)) for cause in LOSSES}
        return {cause: amount for cause, amount in terms.items() if amount}

    def loss_share(self, requests: int) -> float:
        """Share of the traffic that may be missing: of bytes, requests or lines, the most."""
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
