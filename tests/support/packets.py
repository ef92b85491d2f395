"""tcpdump on an interface → a capture file that holds every packet, or every one of a port."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.waiting import DEADLINE, until

#: Line that tcpdump prints on SIGUSR1.
_COUNTS = re.compile(r"(\d+) packets? captured, (\d+) packets? received by filter, .*\n")


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
    command += ["-Z", "root", *options, *([] if port is None else [f"tcp port {port}"])]
    with said.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        until(lambda: "listening on" in said.read_text(), "tcpdump listening")
        yield
        # On Ctrl-C tcpdump drops what the kernel still holds, so it must have taken everything.
        until(lambda: _has_all(process, said, interface), "tcpdump writing the last packets")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE)
    assert said.read_text().endswith("\n0 packets dropped by kernel\n"), said.read_text()


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


def _has_all(process: subprocess.Popen[bytes], said: Path, interface: str) -> bool:
    """Ask tcpdump for its counts; return true if it has taken every packet that it was passed.

    On loopback the kernel passes each packet twice, and tcpdump skips the outgoing one.
    """
    time.sleep(0.02)
    known = len(_COUNTS.findall(said.read_text()))
    process.send_signal(signal.SIGUSR1)
    until(lambda: len(_COUNTS.findall(said.read_text())) > known, "tcpdump telling its counts")
    captured, passed = map(int, _COUNTS.findall(said.read_text())[-1])
    return passed == captured * (2 if interface == "lo" else 1)
