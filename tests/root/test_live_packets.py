"""Packets captured live, against the clients' log; and packets in place of the hooks."""

from __future__ import annotations

import ctypes.util
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support import captures
from support.cli import COMMAND, capabilities, environment, membench, says_started
from support.mixed import perform_mixed
from support.oracle import KeyIds, compare
from support.profile import by_connection, events
from support.requests import read
from support.server import Memcached
from support.waiting import DEADLINE, until
from support.workload import Connection

pytestmark = [
    pytest.mark.root,
    pytest.mark.memcached,
    pytest.mark.skipif(ctypes.util.find_library("pcap") is None, reason="no libpcap here"),
]

LATER = (bytes([10, 0, 0, 1]), 40_001)
SETPRIV = shutil.which("setpriv") or "setpriv"


def without(*kept: str) -> tuple[str, ...]:
    """Return a prefix that leaves root only these capabilities."""
    bounds = ",".join(["-all", *(f"+{name}" for name in kept)])
    return (SETPRIV, "--bounding-set", bounds, "--inh-caps", bounds)


class Live:
    """A running `membench record` of packets."""

    def __init__(self, folder: Path, arguments: Sequence[str], prefix: Sequence[str]) -> None:
        """Start the recorder."""
        self._out, self._err = folder / "live.out", folder / "live.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*prefix, *COMMAND, "record", *arguments, "--format", "json"],
                stdout=out,
                stderr=err,
                env=environment(),
            )

    def stderr_text(self) -> str:
        """Return everything written to standard error so far."""
        return self._err.read_text()

    def stop(self) -> Any:  # noqa: ANN401 - any JSON
        """End the recorder with Ctrl-C; return the JSON it printed."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(DEADLINE)
        assert code == 0, (code, self.stderr_text(), self._out.read_text())
        return json.loads(self._out.read_text())


@contextmanager
def live(folder: Path, *arguments: str, prefix: Sequence[str] = ()) -> Iterator[Live]:
    """Start a recorder of packets, wait until it records; kill it when the block ends."""
    running = Live(folder, arguments, prefix)
    try:
        until(
            lambda: running.process.poll() is not None or says_started(running.stderr_text()),
            "the recorder's first words",
        )
        assert running.process.poll() is None, running.stderr_text()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(DEADLINE)


@pytest.mark.parametrize("source", ["pcap:lo", "pcap:any", "lo"])
def test_packets_recorded_as_they_pass_are_what_the_clients_did(
    server: Memcached, output: Path, tmp_path: Path, source: str
) -> None:
    opened_before = Connection(server.port, 0)
    before = server.settled_stats()
    # Room for all traffic: the recorder may have to wait for a CPU.
    room = ("--ring-size", "64M", "--max-memory", "none", "--nice", "0")
    arguments = (source, str(output), "--port", str(server.port), "--no-stats", *room)
    with live(tmp_path, *arguments) as running:
        assert capabilities(running.process.pid) == {}
        hosts = ["127.0.0.1", "::1", "127.0.0.1"]
        others = [Connection(server.port, at + 1, host) for at, host in enumerate(hosts)]
        connections = [opened_before, *others]
        perform_mixed(connections, 2)
        recording = running.stop()
    after = server.settled_stats()
    assert compare(connections, by_connection(events(output)), KeyIds()) == []
    ledger = recording["ledger"]
    assert ledger["complete"], ledger
    moved = [int(after[name]) - int(before[name]) for name in ("bytes_read", "bytes_written")]
    assert [ledger["request_bytes"], ledger["response_bytes"]] == moved


@pytest.mark.parametrize("source", ["pcap:lo", "pcap:any"])
def test_mirrored_packets_are_decoded_as_they_arrive(output: Path, source: str) -> None:
    inside = (bytes([10, 0, 0, 2]), 22_999)
    others = (bytes([10, 0, 0, 2]), 22_998)
    with (
        live(output.parent, source, str(output), "--port", "22999", "--no-stats") as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mirror,
    ):
        for server, sent in ((others, 1), (inside, 2)):
            for packet in captures.packets(b"get a\r\n" * sent, b"END\r\n" * sent, server=server):
                # To the registered port, where nobody listens, behind an IPv4 and a UDP header.
                mirror.sendto(captures.in_vxlan(packet)[28:], ("127.0.0.1", 4789))
        for packet in captures.packets(b"get z\r\n", b"END\r\n", server=inside, client=LATER):
            mirror.sendto(captures.in_vxlan(packet)[28:], ("127.0.0.1", 4789))
        recorded = running.stop()
    assert recorded["outcomes"] == {"miss": 3}
    assert recorded["ledger"]["complete"] is True
    # Those of other ports inside are left out in the kernel.
    packets = recorded["ledger"]["packets"]
    assert packets["encapsulated"] == packets["followed"] + packets["duplicates"]


def test_the_recorders_own_questions_make_no_events(
    server: Memcached, output: Path, tmp_path: Path
) -> None:
    with live(tmp_path, "pcap:lo", str(output), "--port", str(server.port)) as running:
        connection = Connection(server.port, 0)
        for number in range(20):
            connection.perform(read("get", [b"key-%d" % number]))
        recording = running.stop()
    assert [row["command"] for row in events(output)] == ["get"] * 20
    assert recording["ledger"]["own_request_bytes"] > 0
    assert recording["differences"] == []
    manifest = json.loads((output / "manifest.json").read_text())
    assert (manifest["source"], manifest["time_basis"]) == ("pcap:lo", "packet")
    assert manifest["statistics_end"]


def test_without_the_hooks_packets_stand_in_and_it_says_why(
    server: Memcached, output: Path, tmp_path: Path
) -> None:
    arguments = ("ebpf:any", str(output), "--port", str(server.port), "--no-stats")
    with live(tmp_path, *arguments, prefix=without("net_raw", "dac_override")) as running:
        first = running.stderr_text().splitlines()[0]
        assert first.startswith("Insufficient permissions to load eBPF programs. Missing: CAP_BPF")
        assert first.endswith("recording packets instead (pcap:any)")
        connection = Connection(server.port, 0)
        for number in range(5):
            connection.perform(read("get", [b"key-%d" % number]))
        running.stop()
    assert len(events(output)) == 5
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["source"] == "pcap:any"
    assert manifest["facts"]["instead"] == first


def test_packets_do_not_stand_in_where_that_is_forbidden(output: Path) -> None:
    ended = membench(
        "record", "ebpf:any", output, "--require", "ebpf", prefix=without("net_raw", "dac_override")
    )
    assert ended.code == 5, ended
    assert ended.stderr.startswith("error: Insufficient permissions to load eBPF programs.")
    assert "recording packets" not in ended.stderr
    assert not output.exists()


@pytest.mark.parametrize("source", ["ebpf:any", "pcap:lo"])
def test_without_any_capability_it_says_what_is_missing(output: Path, source: str) -> None:
    ended = membench("record", source, output, prefix=without())
    assert ended.code == 5, ended
    if source == "ebpf:any":
        assert ended.stderr.startswith("error: Insufficient permissions to load eBPF programs.")
    assert "packets may not be captured" in ended.stderr
    assert "CAP_NET_RAW" in ended.stderr
    assert not output.exists()
