"""Both directions of a connection → a capture file, written by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator

PORT = 11211
RAW_IP, ETHERNET, COOKED = 101, 1, 113
SEGMENT = 32_000
SYN, FIN, ACK = 2, 1, 16
_CLIENT, _SERVER = (bytes([10, 0, 0, 1]), 40_000), (bytes([10, 0, 0, 2]), PORT)
_BEFORE_IP = {
    RAW_IP: b"",
    ETHERNET: bytes(12) + b"\x08\x00",
    COOKED: bytes(14) + b"\x08\x00",
}


def header(*, magic: int = 0xA1B2C3D4, snaplen: int = 262_144, link: int = RAW_IP) -> bytes:
    """Return the header of a pcap file, 24 bytes."""
    return struct.pack("<IHHiIII", magic, 2, 4, 0, 0, snaplen, link)


def record(packet: bytes, number: int = 0, *, captured: int | None = None) -> bytes:
    """Return a packet with its 16-byte header; `captured` is the size the header claims."""
    claimed = len(packet) if captured is None else captured
    return struct.pack("<4I", 1_700_000_000, number, claimed, claimed) + packet


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


def packets(requests: bytes, responses: bytes = b"") -> Iterator[bytes]:
    """Yield a connection's IPv4 packets: handshake, all requests, all responses, close."""
    yield _packet(_CLIENT, _SERVER, 0, 0, SYN)
    yield _packet(_SERVER, _CLIENT, 0, 1, SYN | ACK)
    asked = answered = 1
    for start in range(0, len(requests), SEGMENT):
        piece = requests[start : start + SEGMENT]
        yield _packet(_CLIENT, _SERVER, asked, answered, ACK, piece)
        asked += len(piece)
    for start in range(0, len(responses), SEGMENT):
        piece = responses[start : start + SEGMENT]
        yield _packet(_SERVER, _CLIENT, answered, asked, ACK, piece)
        answered += len(piece)
    yield _packet(_CLIENT, _SERVER, asked, answered, FIN | ACK)
    yield _packet(_SERVER, _CLIENT, answered, asked + 1, FIN | ACK)


def capture(requests: bytes, responses: bytes = b"", *, link: int = RAW_IP) -> bytes:
    """Return such a connection as a pcap file."""
    before = _BEFORE_IP[link]
    found = enumerate(packets(requests, responses))
    return header(link=link) + b"".join(record(before + one, number) for number, one in found)


def _packet(
    source: tuple[bytes, int],
    destination: tuple[bytes, int],
    sequence: int,
    acknowledgement: int,
    flags: int,
    payload: bytes = b"",
) -> bytes:
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), sequence & 0xFFFF, 0, 64, 6, 0)
    ports = struct.pack(">HH", source[1], destination[1])
    numbers = struct.pack(">IIBBHHH", sequence, acknowledgement, 0x50, flags, 1000, 0, 0)
    return ip + source[0] + destination[0] + ports + numbers + payload


def exchanges(*turns: tuple[bytes, bytes], opened: bool = True, wait_s: int = 0) -> bytes:
    """Return a connection of requests and answers in turn, each answer after `wait_s`.

    Unless it was `opened` in the capture, nothing but the turns was captured.
    """
    sent, seconds = list[tuple[int, bytes]](), 0
    asked = answered = 1
    if opened:
        sent.append((0, _packet(_CLIENT, _SERVER, 0, 0, SYN)))
        sent.append((0, _packet(_SERVER, _CLIENT, 0, 1, SYN | ACK)))
    for request, response in turns:
        sent.append((seconds, _packet(_CLIENT, _SERVER, asked, answered, ACK, request)))
        asked += len(request)
        seconds += wait_s
        sent.append((seconds, _packet(_SERVER, _CLIENT, answered, asked, ACK, response)))
        answered += len(response)
    sizes = [
        struct.pack("<4I", 1_700_000_000 + at, number, len(packet), len(packet)) + packet
        for number, (at, packet) in enumerate(sent)
    ]
    return header() + b"".join(sizes)
