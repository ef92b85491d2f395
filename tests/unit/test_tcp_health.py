"""The kernel's counters of TCP, and the messages of its socket diagnosis."""

from __future__ import annotations

import socket
import struct

import pytest

from membench import Host, ObservedServer, TcpEvents, TcpHealth
from membench._observe import tcp
from membench._observe.diagnosis import Diagnosed, _answers, parse_socket
from membench._observe.tcp import parse_tcp_counters
from membench._observe.verdicts import judge_tcp

#: As /proc/net/snmp has them: a line of names, then one of values. MaxConn is -1.
SNMP = """\
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm MaxConn RetransSegs OutRsts EstabResets
Tcp: 1 -1 17 4 2
Udp: InDatagrams
Udp: 9
"""
NETSTAT = """\
TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPTimeouts
TcpExt: 0 3 5 7
IpExt: InNoRoutes
IpExt: 0
"""
HEALTH = TcpHealth(50, 19_000, 80_000, 90_000, 10, 12, 0, 0, 128, 128)


def test_counters_are_told_by_their_names() -> None:
    assert parse_tcp_counters(SNMP) == {"RetransSegs": 17, "OutRsts": 4, "EstabResets": 2}
    found = parse_tcp_counters(NETSTAT)
    assert found == {"ListenOverflows": 3, "ListenDrops": 5, "TCPTimeouts": 7}


def test_what_is_no_list_of_counters_has_none() -> None:
    for text in ("", "Tcp:", "Tcp: RetransSegs\n", "Tcp: RetransSegs\nTcp:\n", "\n\n"):
        assert parse_tcp_counters(text) == {}


def message(family: int, state: int, address: bytes, info: bytes) -> bytes:
    """Return a `struct inet_diag_msg` with one attribute before `tcp_info`, and that."""
    begin = struct.pack("!BBBBHH", family, state, 0, 0, 11211, 40000)
    addresses = address.ljust(16, b"\0") * 2
    queues = struct.pack("=IIIII", 0, 3, 5, 0, 1234)
    other = struct.pack("=HHI", 8, 8, 0) + struct.pack("=HHB3x", 5, 9, 0)
    listed = struct.pack("=HH", 4 + len(info), 2) + info
    return begin + addresses + bytes(12) + queues + other + listed


def test_a_connection_has_what_tcp_measured() -> None:
    numbers = {68: 250, 80: 10, 100: 7}
    info = bytearray(232)
    for at, number in numbers.items():
        struct.pack_into("=I", info, at, number)
    found = parse_socket(message(socket.AF_INET, 1, bytes([127, 0, 0, 1]), bytes(info)))
    assert (found.is_listening, found.peer) == (False, "127.0.0.1:40000")
    assert (found.received, found.sending) == (3, 5)
    assert (found.round_trip_us, found.window, found.retransmits) == (250, 10, 7)


def test_addresses_of_ipv6_are_written_as_people_know_them() -> None:
    loopback = socket.inet_pton(socket.AF_INET6, "::1")
    mapped = socket.inet_pton(socket.AF_INET6, "::ffff:10.0.0.7")
    for address, peer in ((loopback, "[::1]:40000"), (mapped, "10.0.0.7:40000")):
        assert parse_socket(message(socket.AF_INET6, 1, address, b"")).peer == peer


@pytest.mark.parametrize(("told", "sent"), [(10, 88), (20, 88), (87, 88), (88, 87), (88, 20)])
def test_a_message_that_is_cut_off_is_an_error_of_the_system(told: int, sent: int) -> None:
    message = struct.pack("=IHHII", told, 20, 0, 1, 0) + bytes(72)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        there.send(message[:sent])
        with pytest.raises(OSError, match="cut off"):
            list(_answers(here))


def test_an_error_that_is_cut_off_is_one_too() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        there.send(struct.pack("=IHHII", 18, 2, 0, 1, 0) + bytes(2))
        with pytest.raises(OSError, match="cut off"):
            list(_answers(here))
        there.send(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -2))
        with pytest.raises(FileNotFoundError):
            list(_answers(here))


def test_a_connection_that_a_cut_off_look_missed_adds_no_segments_of_earlier_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[list[Diagnosed]] = []
    monkeypatch.setattr(tcp, "_MOST", 2)
    monkeypatch.setattr(tcp, "diagnose", lambda _: looks.pop(0))

    def connection(peer: str, retransmits: int) -> Diagnosed:
        return Diagnosed(False, peer, 0, 0, retransmits=retransmits)

    def growth() -> int:
        found = watch.take()
        assert found is not None
        return found.retransmits

    a, b, c, d = (connection(peer, 5) for peer in "abcd")
    looks += [[a, b, c], [connection("a", 7), c], [connection("a", 7), d]]
    watch = tcp.TcpWatch(11211)
    # After a look at a and b, c may be old; after one at all, d is new.
    assert growth() == 2
    assert growth() == 5


def host(**counters: int) -> Host:
    """Return a host with some of TCP's counters."""
    return Host(0.0, None, 0, {}, counters)


def rules(host: Host, events: TcpEvents | None, requests: int | None) -> list[str]:
    """Return the rules that hold for a server."""
    server = ObservedServer(11211, 812, (), {}, HEALTH)
    return [one.rule for one in judge_tcp([server], host, events, requests)]


def test_segments_that_are_retransmitted_are_a_cause_if_there_are_many() -> None:
    assert rules(host(), TcpEvents(12, 0, 0), 12_000) == ["retransmits"]
    assert rules(host(), TcpEvents(12, 0, 0), 12_001) == []
    assert rules(host(), TcpEvents(3, 0, 0), 0) == ["retransmits"]
    assert rules(host(), TcpEvents(2, 0, 0), 0) == []
    # The number of requests may be unknown.
    assert rules(host(), TcpEvents(3, 0, 0), None) == ["retransmits"]
    assert rules(host(), TcpEvents(2, 0, 0), None) == []
    (verdict,) = judge_tcp([], host(), TcpEvents(3, 0, 0), None)
    assert "3 segments were retransmitted → packets are lost" in verdict.text
    # Without events, those of the connections that are open count.
    assert rules(host(), None, 100) == ["retransmits"]


def test_a_full_accept_queue_is_a_cause() -> None:
    assert rules(host(ListenOverflows=1), TcpEvents(0, 0, 0), 100) == ["accept-queue"]
    assert rules(host(ListenOverflows=0), TcpEvents(0, 0, 0), 100) == []
