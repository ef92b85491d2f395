"""Captures from the real world: mirrors, set clocks, other protocols beside memcached's."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import pytest

import membench
from membench import UsageError
from support import captures
from support.captures import ACK, CLIENT, FIN, RST, SERVER, SYN, datagram, framed, record, segment
from support.cli import membench as run, read_ledger
from support.waiting import DEADLINE

GETS, MISSES = b"get a\r\nget b\r\nget c\r\n", b"END\r\n" * 3
OTHER = (bytes([10, 0, 0, 2]), 22_122)


def recorded(
    source: Path | Sequence[Path],
    output: Path | None = None,
    ports: Sequence[int] | Literal["any"] | None = None,
) -> membench.Recording:
    paths = [source] if isinstance(source, Path) else source
    names = [str(path) for path in paths]
    with membench.record(names, output, ports=ports, live=False) as capture:
        assert capture.wait(DEADLINE)
    return capture.result


def written(folder: Path, content: bytes, name: str = "capture.pcap") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def outcomes(recording: membench.Recording) -> dict[str, int]:
    """Return the outcomes of a recording that must be complete."""
    assert recording.ledger.complete is True, recording.ledger.losses()
    return dict(recording.outcomes)


@pytest.mark.parametrize(
    "wrap",
    [
        captures.in_vxlan,
        captures.in_gre,
        lambda packet: captures.in_ip(4, packet),
        lambda packet: captures.in_vxlan(captures.in_gre(captures.in_ip(4, packet)), 5555),
    ],
    ids=["vxlan", "gre", "ip in ip", "all of them"],
)
def test_mirrored_packets_are_those_inside(tmp_path: Path, wrap: Callable[[bytes], bytes]) -> None:
    content = captures.file(map(wrap, captures.packets(GETS, MISSES)))
    recording = recorded(written(tmp_path, content))
    assert outcomes(recording) == {"miss": 3}
    assert recording.ledger.packets is not None
    assert recording.ledger.packets.encapsulated == recording.ledger.packets.taken == 6


def test_a_capture_without_the_port_says_what_it_holds(tmp_path: Path) -> None:
    found = [captures.in_vxlan(one) for one in captures.packets(GETS, MISSES, server=OTHER)]
    found.append(datagram(CLIENT, (SERVER[0], 53), bytes(30)))
    path = written(tmp_path, captures.file(found))
    recording = recorded(path)
    assert recording.events == 0
    assert recording.why_empty == (
        "nothing of port 11211 was captured; of 7 packets: 6 of port 22122 (36 B, which looks like"
        " memcached), 1 of UDP port 53 (30 B), 6 inside VXLAN"
    )
    shown = run("record", path).expect(5)
    assert "like memcached" in " ".join(shown.stdout.split())
    empty = recorded(written(tmp_path, captures.header()))
    assert empty.why_empty == "nothing of port 11211 was captured: there is no packet"


@pytest.mark.parametrize("port", ["22122", "11211,22122", "any"])
def test_ports_are_named_or_found(tmp_path: Path, port: str) -> None:
    found = [
        *captures.packets(GETS, MISSES, server=OTHER),
        *captures.packets(
            b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", server=(SERVER[0], 80)
        ),
        datagram(CLIENT, (SERVER[0], 53), bytes(30)),
    ]
    path = written(tmp_path, captures.file(found))
    shown = json.loads(run("record", path, "--port", port, "--format", "json").expect(0).stdout)
    assert shown["outcomes"] == {"miss": 3}
    assert shown["ledger"]["complete"] is True


def test_ports_are_checked(tmp_path: Path) -> None:
    path = written(tmp_path, captures.capture(GETS, MISSES))
    for port in ("some", "1,,2", "-1"):
        assert "any" in run("record", path, "--port", port).expect(2).stderr
    with pytest.raises(UsageError, match="must be named"):
        membench.record("ebpf:any", ports="any")


def test_datagrams_are_decoded_and_those_of_others_told_apart(tmp_path: Path) -> None:
    query = struct.pack(">6H", 4660, 0x100, 1, 0, 0, 0) + b"\7example\3com\0\0\1\0\1"
    found = [
        datagram(SERVER, (bytes([10, 0, 0, 53]), 53), query),
        *(
            one
            for number in range(3)
            for one in (
                datagram(CLIENT, SERVER, framed(number, b"get a\r\n")),
                datagram(SERVER, CLIENT, framed(number, b"END\r\n")),
            )
        ),
        *captures.packets(GETS, MISSES),
    ]
    recording = recorded(written(tmp_path, captures.file(found)))
    assert outcomes(recording) == {"miss": 6}
    packets = recording.ledger.packets
    assert packets is not None
    assert (packets.datagrams, packets.foreign) == (6, 1)


def _binary(
    opcode: int, key: bytes = b"", status: int = 0, magic: int = 0x80, rest: int = 0
) -> bytes:
    body = len(key) + rest
    return struct.pack(">BBHBBHIIQ", magic, opcode, len(key), 0, 0, status, body, 7, 0) + key


def test_a_binary_quit_is_answered_before_the_close(tmp_path: Path) -> None:
    asked = _binary(0x0A) + _binary(0x07)
    answered = _binary(0x0A, magic=0x81) + _binary(0x07, magic=0x81)
    recording = recorded(written(tmp_path, captures.capture(asked, answered)))
    assert outcomes(recording) == {"ok": 2}


def test_a_refused_request_is_answered_before_the_close(tmp_path: Path) -> None:
    asked = _binary(0x0A) + _binary(0x01, b"k" * 251, rest=9)[:300]
    refusal = _binary(0x01, b"", 4, 0x81, rest=17) + b"Invalid arguments"
    answered = _binary(0x0A, magic=0x81) + refusal
    recording = recorded(written(tmp_path, captures.capture(asked, answered)))
    assert outcomes(recording) == {"ok": 1, "client_error": 1}


def test_an_answer_behind_a_reset_and_a_fin_out_of_order_lose_nothing(tmp_path: Path) -> None:
    found = list(captures.packets(b"get a\r\n", b"END\r\n"))[:-2]
    reset = [
        *found[:3],
        segment(CLIENT, SERVER, 8, 1, FIN | ACK),
        segment(CLIENT, SERVER, 9, 1, RST | ACK),
        segment(SERVER, CLIENT, 1, 9, ACK, b"END\r\n"),
        segment(CLIENT, SERVER, 9, 0, RST),
    ]
    swapped = [
        *found,
        segment(SERVER, CLIENT, 6, 9, FIN | ACK),
        segment(CLIENT, SERVER, 8, 6, FIN | ACK),
        segment(CLIENT, SERVER, 9, 7, ACK),
    ]
    for packets in (reset, swapped):
        recording = recorded(written(tmp_path, captures.file(packets)))
        assert outcomes(recording) == {"miss": 1}
        assert (recording.ledger.request_bytes, recording.ledger.response_bytes) == (7, 5)


def test_a_client_whose_own_port_is_the_servers_is_no_server(tmp_path: Path) -> None:
    far = (bytes([10, 0, 0, 99]), 443)
    foreign = [
        segment(SERVER, far, 500, 0, SYN),
        segment(far, SERVER, 100, 501, SYN | ACK),
        segment(SERVER, far, 501, 101, ACK, b"\x16\3\1" + bytes(300)),
        segment(far, SERVER, 101, 804, ACK, b"\x16\3\3" + bytes(300)),
    ]
    found = [*captures.packets(b"get a\r\n", b"END\r\n"), *foreign]
    recording = recorded(written(tmp_path, captures.file(found)))
    assert outcomes(recording) == {"miss": 1}
    assert recording.connections == 1


def _gets(times: Sequence[int]) -> bytes:
    """Return the records of a connection with a get at each of these seconds."""
    whole = list(captures.packets(b"get a\r\n" * len(times), b"END\r\n"))
    content = b"".join(record(one, second=times[0]) for one in whole[:2])
    for number, second in enumerate(times):
        asked, answered = 1 + 7 * number, 1 + 5 * number
        get = segment(CLIENT, SERVER, asked, answered, ACK, b"get a\r\n")
        miss = segment(SERVER, CLIENT, answered, asked + 7, ACK, b"END\r\n")
        content += record(get, 10, second=second) + record(miss, 20, second=second)
    return content


BEGUN = captures.BEGUN
CLOCKS = {
    "set back": ([*range(BEGUN, BEGUN + 10), *range(BEGUN - 5, BEGUN + 5)], 1, 18),
    "zero at first": ([0, *range(BEGUN, BEGUN + 10)], 1, 9),
    "absurd in the middle": ([BEGUN, BEGUN + 1, 4_200_000_000, BEGUN + 2, BEGUN + 3], 1, 3),
    "right": ([*range(BEGUN, BEGUN + 10)], 0, 9),
}


@pytest.mark.parametrize(("times", "steps", "duration"), CLOCKS.values(), ids=CLOCKS)
def test_a_clock_that_was_set_is_told_and_keeps_order_and_duration(
    tmp_path: Path, times: list[int], steps: int, duration: int
) -> None:
    path = written(tmp_path, captures.header() + _gets(times))
    recording = recorded(path, tmp_path / "set.mb")
    assert outcomes(recording) == {"miss": len(times)}
    assert recording.ledger.packets is not None
    assert recording.ledger.packets.clock_steps == steps
    assert recording.duration_s == pytest.approx(duration, abs=0.01)
    events = [(event.time_us, event.request) for event in membench.open(tmp_path / "set.mb")]
    assert sorted(events) == events == sorted(events, key=lambda event: event[1])
    assert events[0][0] >= BEGUN * 1_000_000
    shown = run("info", tmp_path / "set.mb").expect(0).stdout
    assert ("clock was set" in shown) == (steps > 0)


def _second(begun: int) -> bytes:
    other = (bytes([10, 0, 0, 9]), 50_000)
    found = enumerate(captures.packets(GETS, MISSES, client=other))
    return captures.header() + b"".join(record(one, at, second=begun) for at, one in found)


def test_files_joined_by_cat_are_read_one_after_the_other(tmp_path: Path) -> None:
    first = captures.capture(GETS, MISSES)
    for begun, steps in ((BEGUN + 60, 0), (BEGUN - 60, 1)):
        recording = recorded(written(tmp_path, first + _second(begun)))
        assert outcomes(recording) == {"miss": 6}
        assert recording.ledger.packets is not None
        assert recording.ledger.packets.clock_steps == steps


def test_several_files_are_one_capture_in_the_order_of_their_times(tmp_path: Path) -> None:
    content = captures.header() + _gets(list(range(BEGUN, BEGUN + 10)))
    size = 16 + 47 + 16 + 45
    cut = 24 + 2 * (16 + 40) + 5 * size
    assert content[cut + 16] == 0x45
    early = written(tmp_path, content[:cut], "z.pcap")
    late = written(tmp_path, gzip.compress(captures.header() + content[cut:]), "a.pcap1")
    whole = recorded(written(tmp_path, content))
    both = recorded([late, early], tmp_path / "both.mb")
    assert outcomes(both) == outcomes(whole) == {"miss": 10}
    assert both.duration_s == whole.duration_s
    ended = run("record", late, early, tmp_path / "cli.mb").expect(0)
    assert "10 events" in ended.stdout
    assert "no folder to write" in run("record", late, early).expect(2).stderr
    with pytest.raises(UsageError, match="only these are recorded together"):
        membench.record([str(early), "ebpf:any"])


def test_the_damaged_one_of_several_files_is_named(tmp_path: Path) -> None:
    sound = written(tmp_path, captures.capture(GETS, MISSES), "sound.pcap")
    damaged = written(tmp_path, _second(BEGUN - 60)[:-3], "damaged.pcap")
    recording = recorded([sound, damaged])
    assert recording.events == 6
    assert recording.ledger.losses() == {"file_damaged": 1}
    assert recording.damage is not None
    assert "damaged.pcap" in recording.damage


LOG = b"ts=1795963714.685871 gid=2 type=item_get key=a status=not_found clsid=0 cfd=17 size=0\n"
TELNET = b"Trying ::1...\nConnected to localhost.\nEscape character is '^]'.\nOK\r\n"


@pytest.mark.parametrize(
    ("content", "misses"),
    [
        (captures.capture(GETS, MISSES), 3),
        (gzip.compress(captures.capture(GETS, MISSES)), 3),
        (LOG, 1),
        (gzip.compress(LOG), 1),
    ],
    ids=["packets", "zipped packets", "log", "zipped log"],
)
def test_standard_input_may_be_packets_or_a_log(content: bytes, misses: int) -> None:
    command = [sys.executable, "-m", "membench", "record", "-", "--format", "json"]
    ended = subprocess.run(command, input=content, capture_output=True, check=True)
    assert json.loads(ended.stdout)["outcomes"] == {"miss": misses}


@pytest.mark.parametrize("zipped", [False, True])
def test_a_log_saved_from_telnet_is_read(tmp_path: Path, *, zipped: bool) -> None:
    content = TELNET + LOG + b"Connection closed by foreign host.\n"
    path = written(tmp_path, gzip.compress(content) if zipped else content, "watch.log")
    assert outcomes(recorded(path)) == {"miss": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ERROR\r\n", "the server did not send its log: ERROR"),
        (TELNET[:-4] + b"CLIENT_ERROR watch commands not allowed\r\n", "not allowed"),
        (b"CLIENT_ERROR unauthenticated", "unauthenticated"),
        (b"hello\nworld\n", "it says 'hello'"),
        (TELNET[:-4], "it holds no line"),
    ],
)
def test_a_log_that_was_refused_says_by_what(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        membench.record(str(written(tmp_path, content, "watch.log")))
    assert error.value.hint


def test_top_and_the_status_of_a_file_speak_of_its_time(tmp_path: Path) -> None:
    times = [BEGUN, BEGUN + 1, BEGUN + 2, BEGUN + 3, BEGUN + 100]
    path = written(tmp_path, captures.header() + _gets(times))
    with membench.top(str(path), interval_s=2) as watched:
        snapshots = list(watched)
    assert [snapshot.events for snapshot in snapshots] == [2, 2, 1]
    assert [round(snapshot.elapsed_s) for snapshot in snapshots] == [1, 3, 100]
    assert all(snapshot.lost == {} for snapshot in snapshots)
    with membench.record(str(path), live=False) as capture:
        assert capture.wait(DEADLINE)
        assert capture.result.duration_s == pytest.approx(100, abs=0.1)


def _cut(found: Iterable[bytes], length: int) -> bytes:
    """Return a capture with this snap length."""
    cut = [
        struct.pack("<4I", BEGUN, at, min(len(one), length), len(one)) + one[:length]
        for at, one in enumerate(found)
    ]
    return captures.header(snaplen=length) + b"".join(cut)


@pytest.mark.parametrize(("length", "is_lost"), [(120, False), (50, True)])
def test_a_snap_length_is_named_and_loses_only_what_is_needed(
    tmp_path: Path, length: int, is_lost: bool
) -> None:
    answer = b"VALUE a 0 500\r\n" + bytes(500) + b"\r\nEND\r\n"
    path = written(tmp_path, _cut(captures.packets(b"get a\r\n", answer), length))
    ended = run("record", path, tmp_path / "cut.mb")
    ledger = read_ledger(tmp_path / "cut.mb")
    assert ledger["packets"]["cut"] == 1
    assert ledger["complete"] != is_lost
    with membench.top(str(path)) as watched:
        assert bool(list(watched)[-1].lost) == is_lost
    for shown in (ended.stdout, run("info", tmp_path / "cut.mb").expect(0).stdout):
        assert "not captured to their end (a snap length): 1;" in shown


@pytest.mark.parametrize("is_request", [True, False], ids=["requests", "answers"])
def test_a_capture_of_one_direction_says_so(tmp_path: Path, is_request: bool) -> None:
    source = captures.CLIENT if is_request else captures.SERVER
    found = [one for one in captures.packets(GETS, MISSES) if one[12:16] == source[0]]
    path = written(tmp_path, captures.file(found))
    ended = run("record", path, tmp_path / "half.mb").expect(4)
    kept, other = ("requests", "answer") if is_request else ("answers", "request")
    assert f"only {kept} were captured, and no {other} → a filter" in ended.stdout
