"""Both directions of a connection → a capture file, written by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

PORT = 11211
RAW_IP, ETHERNET, COOKED = 101, 1, 113
SEGMENT = 32_000
SYN, FIN, RST, ACK = 2, 1, 4, 16
BEGUN = 1_700_000_000
#: An address and a port.
End = tuple[bytes, int]
CLIENT: End = (bytes([10, 0, 0, 1]), 40_000)
SERVER: End = (bytes([10, 0, 0, 2]), PORT)
_BEFORE_IP = {
    RAW_IP: b"",
    ETHERNET: bytes(12) + b"\x08\x00",
    COOKED: bytes(14) + b"\x08\x00",
}


def header(*, magic: int = 0xA1B2C3D4, snaplen: int = 262_144, link: int = RAW_IP) -> bytes:
    """Return the header of a pcap file, 24 bytes."""
    return struct.pack("<IHHiIII", magic, 2, 4, 0, 0, snaplen, link)


def record(
    packet: bytes, number: int = 0, *, captured: int | None = None, second: int = BEGUN
) -> bytes:
    """Return a packet with its 16-byte header; `captured` is the size the header claims."""
    claimed = len(packet) if captured is None else captured
    return struct.pack("<4I", second, number, claimed, claimed) + packet


def block(kind: int, content: bytes, *, length: int | None = None) -> bytes:
    """Return a pcapng block; `length` is the length it claims."""
    padded = content + bytes(-len(content) % 4)
    claimed = struct.pack("<I", len(padded) + 12 if length is None else length)
    return struct.pack("<I", kind) + claimed + padded + claimed


def section() -> bytes:
    """Return the start of a pcapng file: a section with one raw IP interface."""
    return block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(
        1, struct.pack("<HHI", RAW_IP, 0, 0)
    )


def enhanced(packet: bytes, options: bytes = b"") -> bytes:
    """Return a packet as an enhanced packet block of pcapng."""
    fields = struct.pack("<5I", 0, 0, 1, len(packet), len(packet))
    return block(6, fields + packet + bytes(-len(packet) % 4) + options)


def packets(
    requests: bytes, responses: bytes = b"", *, client: End = CLIENT, server: End = SERVER
) -> Iterator[bytes]:
    """Yield a connection's IPv4 packets: handshake, all requests, all responses, close."""
    yield segment(client, server, 0, 0, SYN)
    yield segment(server, client, 0, 1, SYN | ACK)
    asked = answered = 1
    for start in range(0, len(requests), SEGMENT):
        piece = requests[start : start + SEGMENT]
        yield segment(client, server, asked, answered, ACK, piece)
        asked += len(piece)
    for start in range(0, len(responses), SEGMENT):
        piece = responses[start : start + SEGMENT]
        yield segment(server, client, answered, asked, ACK, piece)
        answered += len(piece)
    yield segment(client, server, asked, answered, FIN | ACK)
    yield segment(server, client, answered, asked + 1, FIN | ACK)


def capture(requests: bytes, responses: bytes = b"", *, link: int = RAW_IP) -> bytes:
    """Return such a connection as a pcap file."""
    before = _BEFORE_IP[link]
    found = enumerate(packets(requests, responses))
    return header(link=link) + b"".join(record(before + one, number) for number, one in found)


def file(found: Iterable[bytes], *, link: int = RAW_IP) -> bytes:
    """Return packets as a pcap file, one microsecond apart."""
    return header(link=link) + b"".join(record(one, at) for at, one in enumerate(found))


def segment(
    source: End,
    destination: End,
    sequence: int,
    acknowledgement: int,
    flags: int,
    payload: bytes = b"",
) -> bytes:
    """Return an IPv4 packet with a TCP segment."""
    ports = struct.pack(">HH", source[1], destination[1])
    numbers = struct.pack(">IIBBHHH", sequence, acknowledgement, 0x50, flags, 1000, 0, 0)
    return in_ip(6, ports + numbers + payload, source, destination, sequence & 0xFFFF)


def datagram(source: End, destination: End, payload: bytes) -> bytes:
    """Return an IPv4 packet with a UDP datagram."""
    head = struct.pack(">4H", source[1], destination[1], 8 + len(payload), 0)
    return in_ip(17, head + payload, source, destination)


def framed(number: int, text: bytes) -> bytes:
    """Return text behind memcached's frame header."""
    return struct.pack(">4H", number, 0, 1, 0) + text


def in_ip(
    protocol: int,
    content: bytes,
    source: End = (bytes([172, 16, 0, 1]), 0),
    destination: End = (bytes([172, 16, 0, 2]), 0),
    identification: int = 0,
) -> bytes:
    """Return an IPv4 packet with this content, by default between two routers."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), identification, 0, 64, protocol, 0)
    return head + source[0] + destination[0] + content


def in_vxlan(packet: bytes, port: int = 4789) -> bytes:
    """Return a packet as a mirror sends it."""
    frame = bytes(12) + b"\x08\x00" + packet
    routers = (bytes([172, 16, 0, 1]), 50_000), (bytes([172, 16, 0, 2]), port)
    return datagram(*routers, b"\x08\0\0\0\0\0\x7b\0" + frame)


def in_gre(packet: bytes) -> bytes:
    """Return a packet in an Ethernet frame in GRE."""
    return in_ip(47, b"\0\0\x65\x58" + bytes(12) + b"\x08\x00" + packet)
