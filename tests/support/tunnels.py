"""An IPv4 packet → the frame in which a tunnel or a mirror carries it."""

from __future__ import annotations

import struct
from typing import Final

from support.wires import Wrapping

_IPV4, _IPV6, _BRIDGED = 0x0800, 0x86DD, 0x6558
_MPLS, _ERSPAN, _ERSPAN_3 = 0x8847, 0x88BE, 0x22EB
_IP_IN_IP, _IP6_IN_IP, _UDP, _GRE, _ETHERNET_IN_IP, _MPLS_IN_IP = 4, 41, 17, 47, 97, 137
#: Two labels, the second of which is the last.
_LABELS = struct.pack("!II", 16 << 12 | 64, 17 << 12 | 1 << 8 | 64)
#: ERSPAN headers of types II and III, the latter with its platform's part.
_ERSPAN_2_HEADER = struct.pack("!II", 0x10010005, 3)
_ERSPAN_3_HEADER = struct.pack("!IIIII", 0x20010005, 7, 1, 0, 0)
#: A header that says VXLAN, with network 123.
_VXLAN = struct.pack("!II", 0x08000000, 123 << 8)


def _framed(kind: int, rest: bytes) -> bytes:
    return bytes([2, 0, 0, 0, 0, 3]) + bytes([2, 0, 0, 0, 0, 4]) + struct.pack("!H", kind) + rest


def _in_ip(protocol: int, body: bytes) -> tuple[int, bytes]:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    return _IPV4, head + bytes([172, 16, 0, 1]) + bytes([172, 16, 0, 2]) + body


def _in_ip6(protocol: int, body: bytes) -> tuple[int, bytes]:
    addresses = bytes.fromhex("fd") + bytes(14) + b"\1" + bytes.fromhex("fd") + bytes(14) + b"\2"
    return _IPV6, struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + addresses + body


def _udp(port: int, body: bytes) -> bytes:
    return struct.pack("!HHHH", 50_000, port, 8 + len(body), 0) + body


def _geneve(packet: bytes) -> bytes:
    """Put the packet's frame behind three words of options."""
    return _udp(6081, struct.pack("!BBHI", 3, 0, _BRIDGED, 5 << 8) + bytes(12) + packet)


def _gre(kind: int, body: bytes, *, key: bool = False, sequence: bool = False) -> bytes:
    words = [9] * key + [10] * sequence
    flags = 0x2000 * key | 0x1000 * sequence
    return struct.pack(f"!HH{len(words)}I", flags, kind, *words) + body


def _nested(packet: bytes) -> tuple[int, bytes]:
    """Carry VXLAN in IPv6 in GRE in labels in two VLAN tags."""
    _, inner = _in_ip6(_UDP, _udp(4789, _VXLAN + _framed(_IPV4, packet)))
    _, outer = _in_ip(_GRE, _gre(_IPV6, inner))
    return 0x88A8, struct.pack("!HHHH", 7, 0x8100, 5, _MPLS) + _LABELS + outer


#: Every way of carrying a packet that is removed, by name.
TUNNELS: Final[dict[str, Wrapping]] = {
    "vxlan": lambda packet: _in_ip(_UDP, _udp(4789, _VXLAN + _framed(_IPV4, packet))),
    "vxlan, Linux's port": lambda packet: _in_ip(_UDP, _udp(8472, _VXLAN + _framed(_IPV4, packet))),
    "vxlan, any port": lambda packet: _in_ip(_UDP, _udp(5555, _VXLAN + _framed(_IPV4, packet))),
    "vxlan in IPv6": lambda packet: _in_ip6(_UDP, _udp(4789, _VXLAN + _framed(_IPV4, packet))),
    "vxlan, tag inside": lambda packet: _in_ip(
        _UDP, _udp(4789, _VXLAN + _framed(0x8100, struct.pack("!HH", 5, _IPV4) + packet))
    ),
    "vxlan-gpe": lambda packet: _in_ip(
        _UDP, _udp(4790, struct.pack("!II", 0x0C000001, 123 << 8) + packet)
    ),
    "geneve": lambda packet: _in_ip(_UDP, _geneve(_framed(_IPV4, packet))),
    "gre": lambda packet: _in_ip(_GRE, _gre(_IPV4, packet)),
    "gre in IPv6": lambda packet: _in_ip6(_GRE, _gre(_IPV4, packet, sequence=True)),
    "gretap": lambda packet: _in_ip(_GRE, _gre(_BRIDGED, _framed(_IPV4, packet), key=True)),
    "erspan I": lambda packet: _in_ip(_GRE, _gre(_ERSPAN, _framed(_IPV4, packet))),
    "erspan II": lambda packet: _in_ip(
        _GRE,
        _gre(_ERSPAN, _ERSPAN_2_HEADER + _framed(_IPV4, packet), sequence=True),
    ),
    "erspan III": lambda packet: _in_ip(
        _GRE,
        _gre(
            _ERSPAN_3,
            _ERSPAN_3_HEADER + _framed(_IPV4, packet),
            sequence=True,
        ),
    ),
    "ip in ip": lambda packet: _in_ip(_IP_IN_IP, packet),
    "ip in IPv6": lambda packet: _in_ip6(_IP_IN_IP, packet),
    "ip in IPv6 in ip": lambda packet: _in_ip(_IP6_IN_IP, _in_ip6(_IP_IN_IP, packet)[1]),
    "ethernet in ip": lambda packet: _in_ip(_ETHERNET_IN_IP, b"\x30\0" + _framed(_IPV4, packet)),
    "mpls": lambda packet: (_MPLS, _LABELS + packet),
    "mpls in ip": lambda packet: _in_ip(_MPLS_IN_IP, _LABELS + packet),
    "mpls in udp": lambda packet: _in_ip(_UDP, _udp(6635, _LABELS + packet)),
    "pseudowire": lambda packet: (_MPLS, _LABELS + bytes(4) + _framed(_IPV4, packet)),
    "nested": _nested,
}
