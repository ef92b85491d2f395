"""Captures whose summary must say what the traffic was: unreadable, slow, or quiet."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import membench
from support import captures
from support.cli import membench as run
from support.profile import events
from support.waiting import DEADLINE

RECORD = bytes([23, 3, 3])
#: A binary request: magic, opcode, key size, extras size, type, bucket, body size, opaque, cas.
BINARY = struct.Struct(">BBHBBHIIQ")
GETQ, NOOP = 0x09, 0x0A


def tls(size: int) -> bytes:
    """Return a TLS record of application data."""
    return RECORD + struct.pack(">H", size) + bytes(at * 7 % 251 for at in range(size))


def recorded(folder: Path, content: bytes) -> membench.Recording:
    """Record a capture file with this content."""
    file = folder / "traffic.pcap"
    file.write_bytes(content)
    with membench.record(str(file), folder / "traffic.mb", live=False) as capture:
        assert capture.wait(DEADLINE)
    return capture.result


@pytest.mark.parametrize("opened", [False, True], ids=["open before", "opened in it"])
def test_tls_is_named_and_not_complete(tmp_path: Path, opened: bool) -> None:
    turns = [(tls(130), tls(900))] * 5
    ledger = recorded(tmp_path, captures.exchanges(*turns, opened=opened)).ledger
    assert (ledger.complete, ledger.tls_connections) == (False, 1)
    assert ledger.unsynced >= 5 * 905
    file = tmp_path / "traffic.pcap"
    shown = run("record", file, tmp_path / "again.mb").expect(4).stdout
    assert "1 connection carries TLS" in shown
    assert "1 connection carries TLS" in run("info", tmp_path / "again.mb").expect(0).stdout


def test_another_protocol_open_before_the_start_is_not_complete(tmp_path: Path) -> None:
    turns = [(b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n")] * 5
    recording = recorded(tmp_path, captures.exchanges(*turns, opened=False))
    ledger = recording.ledger
    assert (recording.events, ledger.complete, ledger.tls_connections) == (0, False, 0)
    assert (ledger.unsynced, ledger.boundary) == (5 * 21, 0)


def test_the_end_of_an_answer_is_no_loss(tmp_path: Path) -> None:
    turns = [(b"", b"x" * 1000), (b"get a\r\n", b"END\r\n")]
    recording = recorded(tmp_path, captures.exchanges(*turns, opened=False))
    assert recording.events == 1
    assert (recording.ledger.unsynced, recording.ledger.boundary) == (0, 1000)


def test_quiet_misses_are_misses_in_every_summary(tmp_path: Path) -> None:
    def quiet(key: bytes, opaque: int) -> bytes:
        return BINARY.pack(0x80, GETQ, len(key), 0, 0, 0, len(key), opaque, 0) + key

    keys = [b"key-%d" % number for number in range(10)]
    asked = b"".join(quiet(key, opaque) for opaque, key in enumerate(keys))
    asked += BINARY.pack(0x80, NOOP, 0, 0, 0, 0, 0, 99, 0)
    found = BINARY.pack(0x81, GETQ, 0, 4, 0, 0, 9, 3, 1) + bytes(4) + b"value"
    done = BINARY.pack(0x81, NOOP, 0, 0, 0, 0, 0, 99, 0)
    recording = recorded(tmp_path, captures.exchanges(*[(asked, found + done)] * 2))
    reads = recording.reads
    assert (reads.hits, reads.misses, reads.unseen, reads.hit_ratio) == (2, 18, 0, 0.1)
    hits = membench.analyze(tmp_path / "traffic.mb").hits
    assert hits is not None
    assert (hits.all.hits, hits.all.reads) == (2, 20)
    with membench.top(str(tmp_path / "traffic.pcap")) as watched:
        while watched.count(DEADLINE):
            pass
        snapshot = watched.take(1.0)
    assert snapshot.hit_ratio == 0.1
    assert {(key.hits, key.misses) for key in snapshot.keys} == {(2, 0), (0, 2)}


def test_a_server_time_of_any_length_is_shown_as_it_was(tmp_path: Path) -> None:
    turns = [(b"get a\r\n", b"END\r\n")]
    recorded(tmp_path, captures.exchanges(*turns, wait_s=6000))
    (event,) = events(tmp_path / "traffic.mb")
    assert event["server_time"] // 10**9 == 6000
    times = membench.analyze(tmp_path / "traffic.mb").times
    assert times is not None
    assert times.server_ns is not None
    assert times.server_ns.max == pytest.approx(6000e9, rel=0.001)
