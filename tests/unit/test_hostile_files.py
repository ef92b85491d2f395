"""Broken and lying capture files: a clear error or counted losses, in bounded memory."""

from __future__ import annotations

import gzip
import json
import resource
import struct
from pathlib import Path
from typing import Any

import pytest

import membench
from membench import UsageError
from support import captures
from support.cli import Completed, membench as run
from support.hostile import BOUND, MB, STREAMS, accounted
from support.waiting import DEADLINE

GET = b"get key\r\n"
ONE = next(packet for packet in captures.packets(GET) if packet.endswith(GET))
WHOLE = captures.capture(GET, b"END\r\n")
SECTION = captures.section()
NG = SECTION + b"".join(captures.enhanced(packet) for packet in captures.packets(GET, b"END\r\n"))


def compressed(content: bytes) -> bytes:
    """Compress without a timestamp, so that equal content gives equal bytes."""
    return gzip.compress(content, mtime=0)


def peak() -> int:
    """Return the peak memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def recorded(folder: Path, content: bytes, *, written: bool = True) -> membench.Recording:
    """Record a capture file with this content; fail if that takes too much memory."""
    file = folder / "hostile.pcap"
    file.write_bytes(content)
    before = peak()
    output = folder / "hostile.mb" if written else None
    with membench.record(str(file), output, force=True, live=False) as capture:
        assert capture.wait(DEADLINE)
    assert peak() - before < BOUND
    return capture.result


def refused(folder: Path, content: bytes) -> str:
    """Return the error with which a file of this content is refused."""
    file = folder / "hostile.pcap"
    file.write_bytes(content)
    with pytest.raises(UsageError) as error:
        membench.record(str(file), folder / "hostile.mb")
    assert not (folder / "hostile.mb").exists()
    return str(error.value)


def test_a_file_cut_within_its_header_is_refused(tmp_path: Path) -> None:
    for end in range(len(captures.header())):
        expected = {0: "it is empty"}.get(end, "it has" if end < 4 else "ends within its header")
        assert expected in refused(tmp_path, WHOLE[:end]), end


def test_a_file_cut_anywhere_later_is_recorded_up_to_there(tmp_path: Path) -> None:
    edges, at = {24}, 24
    while at < len(WHOLE):
        at += 16 + struct.unpack_from("<I", WHOLE, at + 8)[0]
        edges.add(at)
    for end in range(24, len(WHOLE) + 1):
        damage = recorded(tmp_path, WHOLE[:end], written=False).damage
        assert (damage is None) == (end in edges), (end, damage)
        assert damage is None or "ends in the middle of a packet" in damage


def test_a_pcapng_file_cut_anywhere_says_so(tmp_path: Path) -> None:
    for end in range(4, len(NG), 3):
        recording = recorded(tmp_path, NG[:end], written=False)
        assert recording.events <= 1
        assert recording.damage is None or "after" in recording.damage


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"get key\r\n" * 10, "is not a pcap or pcapng file"),
        (bytes(100), "it begins with 00000000"),
        (captures.header(magic=0xA1B2C3D5), "it begins with"),
        (captures.header(link=105), "link type 105"),
        (captures.header(link=147), "link type 147"),
        (compressed(b"get key\r\n"), "is not a pcap or pcapng file"),
        (compressed(b""), "it is empty"),
    ],
    ids=["text", "zeros", "magic", "wireless", "private link", "compressed text", "nothing"],
)
def test_a_file_that_is_no_capture_is_refused_by_its_kind(
    tmp_path: Path, content: bytes, words: str
) -> None:
    assert words in refused(tmp_path, content)


@pytest.mark.parametrize("link", [captures.RAW_IP, captures.ETHERNET, captures.COOKED])
def test_each_link_type_gives_the_same_events(tmp_path: Path, link: int) -> None:
    recording = recorded(tmp_path, captures.capture(GET, b"END\r\n", link=link))
    assert (recording.events, recording.outcomes) == (1, {"miss": 1})
    assert recording.ledger.complete is True


HEADER = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
#: Invalid lengths of a block: too short, not a multiple of four, beyond the file's end.
LENGTHS = (0, 4, 8, 13, 0x7FFFFFFC, 0xFFFFFFFC)
DAMAGED = {
    "a packet of 2^31 - 1 bytes": WHOLE + captures.record(b"", captured=0x7FFFFFFF),
    "a packet of 2^32 - 1 bytes": WHOLE + captures.record(ONE, captured=0xFFFFFFFF),
    "a packet of 2 MB": WHOLE + captures.record(ONE, captured=1 << 21),
    **{
        f"a block {kind} of {length} bytes": SECTION
        + captures.block(kind, bytes(32), length=length)
        for kind in (6, 0xBAD)
        for length in LENGTHS
    },
    **{
        f"a section of {length} bytes": captures.block(0x0A0D0D0A, HEADER, length=length)
        for length in (0, 0xFFFFFFFC)
    },
    "more captured than the block holds": SECTION
    + captures.block(6, struct.pack("<5I", 0, 0, 0, 0x7FFFFFFF, 60)),
    "an interface that there is not": SECTION
    + captures.block(6, struct.pack("<5I", 7, 0, 0, 0, 0)),
    "gzip that ends early": compressed(WHOLE)[:-9],
    "gzip that is spoiled": compressed(WHOLE)[:40] + bytes(40),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_an_impossible_length_ends_the_reading_and_is_reported(
    tmp_path: Path, content: bytes
) -> None:
    recording = recorded(tmp_path, content)
    assert recording.damage is not None
    assert recording.ledger.complete is False
    assert recording.ledger.losses()["file_damaged"] == 1


def test_absurd_lengths_that_cost_nothing_are_borne(tmp_path: Path) -> None:
    """Record a snaplen of 2^31, false options, and an ignored block that unpacks to 256 MB."""
    snaplen = captures.header(snaplen=1 << 31) + WHOLE[24:]
    assert recorded(tmp_path, snaplen).ledger.complete is True
    options = struct.pack("<HH", 2, 0xFFFF)
    lying = SECTION + b"".join(
        captures.enhanced(packet, options) for packet in captures.packets(GET, b"END\r\n")
    )
    assert recorded(tmp_path, lying).events == 1
    bomb = gzip.compress(SECTION + captures.block(0xBAD, bytes(256 * MB)) + NG[len(SECTION) :], 1)
    assert recorded(tmp_path, bomb).events == 1


def _fragment() -> bytes:
    packet = bytearray(ONE)
    packet[6] = 0x20
    return bytes(packet)


@pytest.mark.parametrize(
    ("content", "losses"),
    [
        (WHOLE + captures.record(_fragment()), {"fragments": 1}),
        (WHOLE + captures.record(ONE[:30]), {"packets_unreadable": 1}),
        (WHOLE + captures.record(b"\x45"), {"packets_unreadable": 1}),
        (
            NG + captures.block(5, bytes(12) + struct.pack("<HHQ", 5, 8, 3)),
            {"packets_dropped": 3},
        ),
    ],
    ids=["a fragment", "cut within TCP", "cut within IP", "drops that the file tells"],
)
def test_packets_that_are_lost_are_counted_apart(
    tmp_path: Path, content: bytes, losses: dict[str, int]
) -> None:
    recording = recorded(tmp_path, content)
    found = {name: amount for name, amount in recording.ledger.losses().items() if amount}
    assert found == losses
    assert recording.ledger.complete is False
    assert recording.events == 1


@pytest.mark.parametrize("name", STREAMS)
def test_a_hostile_stream_in_a_file_is_counted_to_the_byte(tmp_path: Path, name: str) -> None:
    requests, responses = STREAMS[name]
    recorded(tmp_path, captures.capture(requests, responses))
    manifest: Any = json.loads((tmp_path / "hostile.mb" / "manifest.json").read_text())
    accounted(manifest["ledger"], len(requests), len(responses))


def test_the_command_says_what_is_wrong_and_shows_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "hostile.pcap"
    for content, code in (
        (WHOLE[:10], 2),
        (captures.header(link=105), 2),
        (WHOLE + captures.record(b"", captured=0x7FFFFFFF), 4),
    ):
        file.write_bytes(content)
        ended: Completed = run("record", file, tmp_path / "hostile.mb", "--force").expect(code)
        assert "Traceback" not in ended.stderr
