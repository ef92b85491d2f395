"""tcpdump on an interface → a capture file that holds every packet of a port."""

from __future__ import annotations

import signal
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.waiting import INTERVAL, until

#: Looks at the file without change until tcpdump has nothing more to write.
STILL = round(1.5 / INTERVAL)


@contextmanager
def tcpdump(
    output: Path,
    port: int,
    *options: str,
    interface: str = "lo",
    prefix: Sequence[str] = (),
) -> Iterator[None]:
    """Capture while the block runs; every packet that passed is in the file when it ends."""
    said = output.with_suffix(".tcpdump")
    command = [*prefix, "tcpdump", "-i", interface, "-w", str(output), "-U", "-B", "262144", "-n"]
    command += ["-Z", "root", *options, f"tcp port {port}"]
    with said.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        until(lambda: "listening on" in said.read_text(), "tcpdump listening")
        yield
        # Ctrl-C makes tcpdump count, not drain: what the kernel holds must be out before.
        until(_grown(output), "tcpdump writing the last packets")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert "0 packets dropped by kernel" in said.read_text(), said.read_text()


def cut_short(capture: bytes, snaplen: int) -> bytes:
    """A pcap file as if no more than so many bytes of each packet had been captured."""
    kept, at = [capture[:24]], 24
    while at < len(capture):
        *times, captured, length = struct.unpack_from("<4I", capture, at)
        packet = capture[at + 16 : at + 16 + captured][:snaplen]
        kept += [struct.pack("<4I", *times, len(packet), length), packet]
        at += 16 + captured
    return b"".join(kept)


def as_pcapng(capture: bytes) -> bytes:
    """A pcap file's packets as pcapng: two interfaces take turns, of ns and of 2^-20 s."""
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


def _grown(output: Path) -> Callable[[], bool]:
    """Whether the file has stopped growing for longer than the kernel holds packets back: 1 s."""
    sizes: list[int] = []

    def still() -> bool:
        sizes.append(output.stat().st_size)
        return len(sizes) > STILL and len(set(sizes[-STILL:])) == 1

    return still
