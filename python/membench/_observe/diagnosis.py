"""The kernel's socket diagnosis (netlink) → a server's connections and accept queue, as `ss` sees.

It takes no privilege. The layouts are those of linux/inet_diag.h and linux/tcp.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
# NLM_F_REQUEST, NLM_F_DUMP.
_FLAGS = 0x1 | 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
# Of `struct nlmsghdr`: length, kind, flags, sequence, port.
_HEADER = struct.Struct("=IHHII")
# Of `struct nlmsgerr`: the error.
_ERROR = struct.Struct("=i")
# Of `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, a socket's id.
_REQUEST = struct.Struct("=BBBBI48s")
# Of `struct inet_diag_msg` up to the addresses: family, state, timer, retransmits, ports.
_SOCKET = struct.Struct("!BBBBHH")
_ADDRESSES, _ADDRESS = 8, 16
# After the id: expires, receive queue, send queue, user, inode.
_QUEUES = struct.Struct("=IIIII")
_QUEUES_AT, _ATTRIBUTES_AT = 52, 72
_ATTRIBUTE = struct.Struct("=HH")
_REQ_BYTECODE = 1
_INFO = 2
# Codes of a filter's operations: the source port is at least, at most.
_PORT_AT_LEAST, _PORT_AT_MOST = 2, 3
_OPERATION = struct.Struct("=BBH")
_ESTABLISHED, _LISTEN = 1, 10
# Offsets in `struct tcp_info`, of numbers of 4 bytes.
_RTT_AT, _CWND_AT, _TOTAL_RETRANS_AT, _INFO_SIZE = 68, 80, 100, 104
_ROOM = 1 << 18
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """A socket of a server.

    Attributes:
        is_listening: True if it accepts connections.
        peer: The client's address and port.
        received: Bytes that wait to be read; of a listening socket, connections to be accepted.
        sending: Bytes that are not acknowledged; of a listening socket, the most that may wait.
        round_trip_us: Smoothed round-trip time, µs; 0 before there is a measurement.
        window: Congestion window, segments.
        retransmits: Segments retransmitted since the connection began.
    """

    is_listening: bool
    peer: str
    received: int
    sending: int
    round_trip_us: int = 0
    window: int = 0
    retransmits: int = 0


def diagnose(port: int) -> list[Diagnosed]:
    """Return the established and listening TCP sockets at a local port, in this network namespace.

    Raises:
        OSError: The kernel has no socket diagnosis.
    """
    found: list[Diagnosed] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as connection:
        connection.settimeout(_PATIENCE_S)
        for family in (socket.AF_INET, socket.AF_INET6):
            connection.sendto(_dump(family, port), (0, 0))
            found += _answers(connection)
    return found


def _dump(family: int, port: int) -> bytes:
    states = 1 << _ESTABLISHED | 1 << _LISTEN
    extensions = 1 << (_INFO - 1)
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, extensions, 0, states, bytes(48))
    # Two comparisons of two operations each. A jump beyond the end says no.
    size = 4 * _OPERATION.size
    filters = b"".join(
        (
            _OPERATION.pack(_PORT_AT_LEAST, 8, size + 4),
            _OPERATION.pack(0, 0, port),
            _OPERATION.pack(_PORT_AT_MOST, 8, size // 2 + 4),
            _OPERATION.pack(0, 0, port),
        )
    )
    request += _ATTRIBUTE.pack(_ATTRIBUTE.size + size, _REQ_BYTECODE) + filters
    return _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _FLAGS, 1, 0) + request


def _answers(connection: socket.socket) -> Iterator[Diagnosed]:
    while True:
        data = connection.recv(_ROOM)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _NLMSG_DONE:
                return
            least = _ERROR.size if kind == _NLMSG_ERROR else _ATTRIBUTES_AT
            if min(length, len(data) - at) < _HEADER.size + least:
                raise OSError("a message of the kernel's socket diagnosis is cut off")
            if kind == _NLMSG_ERROR:
                (error,) = _ERROR.unpack_from(data, at + _HEADER.size)
                raise OSError(-error, "the kernel refuses a diagnosis of its sockets")
            yield parse_socket(data[at + _HEADER.size : at + length])
            at += (length + 3) & ~3


def parse_socket(message: bytes) -> Diagnosed:
    """Read one `struct inet_diag_msg` with its attributes."""
    family, state, _, _, _, remote_port = _SOCKET.unpack_from(message)
    _, received, sending, _, _ = _QUEUES.unpack_from(message, _QUEUES_AT)
    size = 4 if family == socket.AF_INET else _ADDRESS
    begin = _ADDRESSES + _ADDRESS
    address = ipaddress.ip_address(message[begin : begin + size])
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        peer = f"{mapped}:{remote_port}" if mapped else f"[{address}]:{remote_port}"
    else:
        peer = f"{address}:{remote_port}"
    info = _attribute(message, _INFO)
    if state == _LISTEN or len(info) < _INFO_SIZE:
        return Diagnosed(state == _LISTEN, peer, received, sending)
    return Diagnosed(
        is_listening=False,
        peer=peer,
        received=received,
        sending=sending,
        round_trip_us=_number(info, _RTT_AT),
        window=_number(info, _CWND_AT),
        retransmits=_number(info, _TOTAL_RETRANS_AT),
    )


def _attribute(message: bytes, wanted: int) -> bytes:
    at = _ATTRIBUTES_AT
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        if kind == wanted:
            return message[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return b""


def _number(info: bytes, at: int) -> int:
    (number,) = struct.unpack_from("=I", info, at)
    return int(number)
