"""tcpdump on an interface → a capture file that holds every packet, or every one of a port."""

from __future__ import annotations

import secrets
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.waiting import DEADLINE, until

# Port of the last packet: `discard`, which no test uses.
_DISCARD = 9
# The last packet is looked for in so much of the end of a file, bytes.
_TAIL = 1 << 20
# Sends a packet at an interface: its name, the packet in hex. The kernel adds the link's header.
_SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sender:
    sender.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 0x0800, 0, 0, bytes(6)))
"""


@contextmanager
def tcpdump(
    output: Path,
    port: int | None,
    *options: str,
    interface: str = "lo",
    prefix: Sequence[str] = (),
) -> Iterator[None]:
    """Capture while the block runs; afterwards the file holds every packet that passed.

    Without a port, packets of any kind are captured.
    """
    said = output.with_suffix(".tcpdump")
    command = [*prefix, "tcpdump", "-i", interface, "-w", str(output), "-U", "-B", "262144", "-n"]
    last = f"udp dst port {_DISCARD}"
    command += ["-Z", "root", *options, *([] if port is None else [f"tcp port {port} or {last}"])]
    with said.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    token = secrets.token_bytes(16)
    try:
        until(lambda: "listening on" in said.read_text(), "tcpdump listening")
        yield
        # On Ctrl-C tcpdump drops what the kernel still holds. Its counts do not say when it has
        # everything: they hold what passed before it had set its filter. So one more packet is
        # sent, behind all others.
        send = [sys.executable, "-c", _SEND, interface, _datagram(token).hex()]
        subprocess.run([*prefix, *send], check=True, timeout=DEADLINE)
        until(lambda: token in _tail(output), "tcpdump writing the last packets")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE)
    assert said.read_text().endswith("\n0 packets dropped by kernel\n"), said.read_text()
    output.write_bytes(_without(output.read_bytes(), token))


def _datagram(content: bytes) -> bytes:
    """Return an IPv4 packet from the host to itself that nobody answers."""
    loopback = bytes((127, 0, 0, 1))
    udp = struct.pack(">4H", _DISCARD, _DISCARD, 8 + len(content), 0) + content
    ip = struct.pack(">2B3H2BH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + 2 * loopback
    words = struct.unpack(">10H", ip)
    folded = sum(words) % 0xFFFF
    return ip[:10] + struct.pack(">H", 0xFFFF - folded) + ip[12:] + udp


def _tail(path: Path) -> bytes:
    with path.open("rb") as opened:
        opened.seek(max(0, path.stat().st_size - _TAIL))
        return opened.read()


def _without(capture: bytes, token: bytes) -> bytes:
    """Return a pcap file without the packets that contain a token."""
    kept, at = [capture[:24]], 24
    while at < len(capture):
        captured = struct.unpack_from("<I", capture, at + 8)[0]
        packet = capture[at : at + 16 + captured]
        kept += [] if token in packet else [packet]
        at += len(packet)
    return b"".join(kept)


def cut_short(capture: bytes, snaplen: int) -> bytes:
    """Return a pcap file with every packet cut to `snaplen` bytes."""
    kept, at = [capture[:24]], 24
    while at < len(capture):
        *times, captured, length = struct.unpack_from("<4I", capture, at)
        packet = capture[at + 16 : at + 16 + captured][:snaplen]
        kept += [struct.pack("<4I", *times, len(packet), length), packet]
        at += 16 + captured
    return b"".join(kept)


def as_pcapng(capture: bytes) -> bytes:
    """Convert pcap to pcapng, on two interfaces in turn: one in ns, one in units of 2^-20 s."""
    link = struct.unpack_from("<I", capture, 20)[0]
    blocks = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for resolution in (9, 0x80 | 20):
        described = struct.pack("<HHI", link, 0, 0) + struct.pack("<HHB3x", 9, 1, resolution)
        blocks.append(_block(1, described))
    at = 24
    while at < len(capture):
        seconds, fraction, captured, length = struct.unpack_from("<4I", capture, at)
        interface = len(blocks) % 2
        times = (10**6 * seconds + fraction) * 1000, ((10**6 * seconds + fraction) << 20) // 10**6
        time = times[interface]
        fields = struct.pack("<5I", interface, time >> 32, time & 0xFFFFFFFF, captured, length)
        blocks.append(_block(6, fields + capture[at + 16 : at + 16 + captured]))
        at += 16 + captured
    return b"".join(blocks)


def _block(kind: int, content: bytes) -> bytes:
    padded = content + bytes(-len(content) % 4)
    length = struct.pack("<I", len(padded) + 12)
    return struct.pack("<I", kind) + length + padded + length
