"""Connections of a server and counters of TCP → its health in an interval, without privileges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from membench._doctor.host import whole_number
from membench._observe.diagnosis import Diagnosed, diagnose
from membench._observe.results import TcpHealth

_NET = Path("/proc/net")
# Most connections that are looked at one by one.
_MOST = 10_000
# The kernel's counters of TCP that tell why requests or connections are late or lost.
COUNTERS = (
    "RetransSegs",
    "OutRsts",
    "EstabResets",
    "AttemptFails",
    "ListenOverflows",
    "ListenDrops",
    "TCPTimeouts",
    "TCPLossProbes",
    "TCPSynRetrans",
    "TCPRcvQDrop",
    "TCPBacklogDrop",
    "TCPZeroWindowDrop",
    "TCPAbortOnMemory",
    "PruneCalled",
)


class TcpWatch:
    """Connections at a port that are looked at again and again."""

    def __init__(self, port: int) -> None:
        """Look at the connections for the first time."""
        self._port = port
        self._retransmits: dict[str, int] = {}
        # True if the last look was at every connection, so that any other is a new one.
        self._is_whole = False
        self.take()

    def take(self) -> TcpHealth | None:
        """Return the state of the connections, and what they retransmitted since the last call.

        None without the kernel's socket diagnosis.
        """
        try:
            sockets = diagnose(self._port)
        except OSError:
            return None
        connections = [one for one in sockets if not one.is_listening]
        listening = (one for one in sockets if one.is_listening)
        fullest = max(listening, key=lambda one: one.received, default=None)
        before, were_all = self._retransmits, self._is_whole
        looked_at = connections[:_MOST]
        self._is_whole = len(looked_at) == len(connections)
        self._retransmits = {one.peer: one.retransmits for one in looked_at}
        round_trips = sorted(one.round_trip_us for one in looked_at if one.round_trip_us)
        return TcpHealth(
            connections=len(connections),
            round_trip_p50_ns=_quantile(round_trips, 0.5) * 1000,
            round_trip_p99_ns=_quantile(round_trips, 0.99) * 1000,
            round_trip_max_ns=_quantile(round_trips, 1.0) * 1000,
            least_window=min((one.window for one in looked_at), default=None),
            retransmits=sum(_growth(looked_at, before, are_others_new=were_all)),
            unread_bytes=sum(one.received for one in connections),
            unacknowledged_bytes=sum(one.sending for one in connections),
            accept_queue=fullest.received if fullest is not None else 0,
            accept_limit=fullest.sending if fullest is not None else 0,
        )


def _growth(
    connections: Sequence[Diagnosed], before: Mapping[str, int], *, are_others_new: bool
) -> Iterator[int]:
    for one in connections:
        if one.peer not in before and not are_others_new:
            # It may have retransmitted long before this interval.
            continue
        known = before.get(one.peer, 0)
        # Less than before is another connection from the same port.
        yield one.retransmits - known if one.retransmits >= known else one.retransmits


def _quantile(ordered: Sequence[int], quantile: float) -> int:
    """Return the least of ordered values that at least that share of them do not exceed."""
    if not ordered:
        return 0
    return ordered[max(-int(-len(ordered) * quantile // 1) - 1, 0)]


def read_tcp_counters() -> dict[str, int]:
    """Read the counters of this network namespace, since it began."""
    found: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        try:
            text = (_NET / name).read_text()
        except OSError:
            continue
        found |= parse_tcp_counters(text)
    return found


def parse_tcp_counters(text: str) -> dict[str, int]:
    """Read lines of names, each followed by a line of their values."""
    lines = text.splitlines()
    found: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        kind, _, listed = names.partition(" ")
        if kind in {"Tcp:", "TcpExt:"}:
            numbers = (whole_number(value) for value in values.split()[1:])
            pairs = zip(listed.split(), numbers, strict=False)
            found |= {
                name: value for name, value in pairs if name in COUNTERS and value is not None
            }
    return found
