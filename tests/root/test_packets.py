"""A tcpdump file of a run, recorded → the events, bytes and outcomes that the sockets gave."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.agreement import differing, shape
from support.cli import Completed, membench, read_info, recorder
from support.mixed import CONNECTIONS, perform_mixed
from support.namespaces import (
    SERVER,
    TUN,
    Disturbance,
    Pair,
    memcached_inside,
    pair,
    wait_for_ends,
)
from support.oracle import KeyIds, compare
from support.packets import as_pcapng, cut_short, tcpdump
from support.ports import free_port
from support.profile import by_connection, events, table
from support.server import memcached
from support.unique import NARROWEST, key_file
from support.waiting import DEADLINE
from support.workload import Connection

pytestmark = [
    pytest.mark.root,
    pytest.mark.memcached,
    pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed"),
]


class Both:
    """The mixed workload, captured by tcpdump and recorded at the sockets at once."""

    def __init__(self, folder: Path) -> None:
        """Run the workload."""
        self.capture, self.sockets = folder / "run.pcap", folder / "sockets.mb"
        self.secret, _ = key_file(folder)
        with memcached(threads=4, memory=1024) as server:
            self.port = server.port
            opened_before = Connection(server.port, 0)
            before = server.settled_stats()
            options = ("--no-stats", "--key-file", str(self.secret))
            with tcpdump(self.capture, server.port):
                with recorder(self.sockets, [server.port], *options) as running:
                    hosts = ["::1" if one == 3 else "127.0.0.1" for one in range(CONNECTIONS + 1)]
                    others = [
                        Connection(server.port, ordinal, hosts[ordinal])
                        for ordinal in range(1, CONNECTIONS + 1)
                    ]
                    self.connections = [opened_before, *others]
                    perform_mixed(self.connections, 1)
                    running.stop().expect(0)
                for connection in self.connections:
                    connection.close()
                server.wait_for_connections(0)
            after = server.settled_stats()
            self.moved = tuple(
                int(after[name]) - int(before[name]) for name in ("bytes_read", "bytes_written")
            )

    def record(self, capture: Path, profile: Path, *options: str) -> Completed:
        """Record a capture file with the key used for the sockets."""
        key = ("--key-file", str(self.secret), "--port", str(self.port))
        return membench("record", capture, profile, *key, *options, "--format", "json")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def recorded(both: Both, tmp_path_factory: pytest.TempPathFactory) -> Path:
    profile = tmp_path_factory.mktemp("recorded") / "packets.mb"
    both.record(both.capture, profile).expect(0)
    return profile


def test_packets_and_sockets_give_the_same_events(both: Both, recorded: Path) -> None:
    assert differing(both.sockets, recorded) == []


def test_events_are_what_the_clients_did(both: Both, recorded: Path) -> None:
    assert compare(both.connections, by_connection(events(recorded)), KeyIds()) == []


def test_the_ledger_is_complete_and_equals_memcacheds_counters(both: Both, recorded: Path) -> None:
    ledger = read_info(recorded)["ledger"]
    assert (ledger["complete"], ledger["boundary"]) == (True, 0), ledger
    assert (ledger["request_bytes"], ledger["response_bytes"]) == both.moved


def test_the_profile_says_what_its_times_are(recorded: Path) -> None:
    manifest = json.loads((recorded / "manifest.json").read_text())
    assert manifest["time_basis"] == read_info(recorded)["time_basis"] == "packet"
    assert "last packet" in manifest["facts"]["server_time"]
    rows = events(recorded)
    assert all(abs(row["time"].timestamp() - recorded.stat().st_mtime) < 3600 for row in rows)
    loud = [row for row in rows if "q" not in (row["options"] or "").split()]
    answered = [row for row in loud if row["outcome"] not in (None, "suppressed")]
    assert answered
    assert all(row["server_time"] is not None for row in answered)


def test_connections_have_their_beginnings_and_ends(recorded: Path) -> None:
    rows = table(recorded, "connections")
    assert sum(row["opened"] is None for row in rows) == 1
    assert {row["close_side"] for row in rows} == {"client"}
    assert sorted(row["transport"] for row in rows) == ["tcp4"] * CONNECTIONS + ["tcp6"]


@pytest.mark.parametrize("way", ["gzip", "ns", "pcapng"])
def test_other_forms_of_the_file_give_the_same_events(
    both: Both, recorded: Path, tmp_path: Path, way: str
) -> None:
    other = tmp_path / f"other.pcap{'.gz' if way == 'gzip' else ''}"
    if way == "gzip":
        other.write_bytes(gzip.compress(both.capture.read_bytes(), 1))
    elif way == "ns":
        rewrite = ["tcpdump", "--time-stamp-precision=nano", "-r", both.capture, "-w", other]
        subprocess.run(rewrite, check=True, capture_output=True)
    else:
        other.write_bytes(as_pcapng(both.capture.read_bytes()))
    both.record(other, tmp_path / "other.mb").expect(0)
    first, second = (by_connection(events(one)) for one in (recorded, tmp_path / "other.mb"))
    assert {one: shape(rows) for one, rows in second.items()} == {
        one: shape(rows) for one, rows in first.items()
    }


def test_a_file_that_ends_within_a_packet_is_recorded_up_to_there_and_says_so(
    both: Both, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.pcap"
    whole = both.capture.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2 + 1])
    ended = both.record(cut, tmp_path / "cut.mb").expect(4)
    assert "damaged file: it ends in the middle of a packet" in ended.json["ended"]["reason"]
    ledger = read_info(tmp_path / "cut.mb")["ledger"]
    assert (ledger["complete"], ledger["file_damaged"]) == (False, 1)
    assert len(events(tmp_path / "cut.mb")) > 1000


def test_packets_cut_short_are_holes_and_never_wrong(both: Both, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(cut_short(both.capture.read_bytes(), 120))
    both.record(cut, tmp_path / "cut.mb", "--allow-loss", "100").expect(0)
    ledger = read_info(tmp_path / "cut.mb")["ledger"]
    assert not ledger["complete"]
    assert (ledger["request_bytes"], ledger["response_bytes"]) == both.moved


def test_a_file_that_is_no_capture_is_refused(tmp_path: Path) -> None:
    for content, expected in (
        (b"get key\r\n", "is not a pcap or pcapng file"),
        (b"", "it is empty"),
    ):
        file = tmp_path / "not.pcap"
        file.write_bytes(content)
        ended = membench("record", file, tmp_path / "out.mb")
        assert ended.code == 2, ended
        assert expected in ended.stderr
        assert not (tmp_path / "out.mb").exists()


#: Program for the client's namespace: pipelines on three connections; it prints their log.
_CLIENT = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.unique import UniqueTraffic
from support.workload import Connection, in_threads
port = int(sys.argv[1])
connections = [Connection(port, number, {SERVER!r}) for number in range(3)]
traffic = [UniqueTraffic(connection, largest=60_000) for connection in connections]
in_threads([lambda one=one: [one.pipeline() for _ in range(25)] for one in traffic])
log = [
    [one.connection.ordinal, operation.command, len(operation.key), operation.outcome,
     operation.value_size]
    for one in traffic for operation in one.connection.log
]
print(json.dumps(log))
"""


def _disturbed(both_ends: Pair, folder: Path) -> tuple[int, list[list[Any]]]:
    """Capture traffic over a bad network at the server; return the port and the clients' log."""
    port = free_port()
    inside = both_ends.inside(both_ends.server)
    with memcached_inside(both_ends, port) as pid:
        with tcpdump(folder / "run.pcap", port, interface="inner", prefix=inside):
            client = subprocess.run(
                [*both_ends.inside(both_ends.client), sys.executable, "-c", _CLIENT, str(port)],
                capture_output=True,
                text=True,
                check=False,
                timeout=2 * DEADLINE,
            )
            wait_for_ends(pid, port)
        assert client.returncode == 0, client.stderr
        log: list[list[Any]] = json.loads(client.stdout)
        return port, log


@pytest.mark.skipif(not TUN.exists(), reason=f"{TUN} is missing")
@pytest.mark.parametrize(
    "disturbance",
    [Disturbance(loss=0.02), Disturbance(duplicate=0.2), Disturbance(0.005, 0.05, 0.3)],
    ids=["loss", "duplicate", "reorder"],
)
def test_a_network_that_disturbs_packets_does_not_change_the_recording(
    tmp_path: Path, disturbance: Disturbance
) -> None:
    with pair(disturbance) as both_ends:
        port, log = _disturbed(both_ends, tmp_path)
    membench("record", tmp_path / "run.pcap", tmp_path / "run.mb", "--port", str(port)).expect(0)
    info = read_info(tmp_path / "run.mb")
    assert info["ledger"]["complete"], info["ledger"]
    packets = info["ledger"]["packets"]
    assert packets["duplicates"] + packets["out_of_order"] + packets["retransmitted_bytes"] > 0
    did: dict[int, list[tuple[Any, ...]]] = {}
    for ordinal, *operation in log:
        did.setdefault(ordinal, []).append(tuple(operation))
    shapes = [
        [(row["command"], row["key_size"], row["outcome"], row["value_size"]) for row in rows]
        for rows in by_connection(events(tmp_path / "run.mb")).values()
    ]
    assert {rows[0][1] - NARROWEST: rows for rows in shapes} == did
