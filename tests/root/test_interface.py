"""Packets of an interface, recorded by BPF programs → the events that the sockets gave."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from support import proc
from support.agreement import differing
from support.cli import membench, read_ledger, recorder
from support.conversation import ROOM, WIDE, both, converse, joined
from support.datagrams import Datagrams
from support.exclusive import exclusive
from support.kernel import has_tcx
from support.kernel_objects import kernel_objects_of, wait_until_gone
from support.mixed import perform_mixed
from support.namespaces import TUN, Disturbance, pair
from support.oracle import KeyIds, compare
from support.ports import free_port
from support.profile import by_connection, events
from support.requests import read
from support.server import Memcached, memcached
from support.waiting import until
from support.wires import (
    NEAR,
    Mirror,
    Wire,
    Wrapping,
    damaged,
    datagram,
    extended,
    first_piece,
    much_extended,
    much_tagged,
    plain,
    segment,
    tagged,
    twice_tagged,
    wire,
    with_options,
)
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Marks of the way to attach that this kernel prefers: only that is tested on every kernel.
OWN = [pytest.mark.kernel, pytest.mark.quick]
CLSACT = pytest.param(
    "clsact",
    marks=[
        pytest.mark.skipif(shutil.which("tc") is None, reason="tc is not installed"),
        *([] if has_tcx() else OWN),
    ],
)
#: Port in namespaces that only their test uses.
PORT = 21412


TCX = pytest.param(
    "tcx",
    marks=OWN if has_tcx() else pytest.mark.skip(reason="Linux before 6.6"),
)


@pytest.mark.parametrize("hooks", [TCX, CLSACT])
def test_packets_of_loopback_are_what_the_sockets_and_the_clients_say(
    server: Memcached, tmp_path: Path, hooks: str
) -> None:
    opened_before = Connection(server.port, 0)
    before = server.settled_stats()
    with (
        exclusive("filters of lo"),
        both(tmp_path, server.port, "ebpf:lo", "--hooks", hooks) as running,
    ):
        hosts = ["127.0.0.1", "::1", "127.0.0.1", "::1", "127.0.0.1"]
        others = [Connection(server.port, at + 1, host) for at, host in enumerate(hosts)]
        connections = [opened_before, *others]
        perform_mixed(connections, 3)
        for one in running:
            one.stop().expect(0)
    after = server.settled_stats()
    packets = tmp_path / "packets.mb"
    assert differing(tmp_path / "sockets.mb", packets) == []
    assert compare(connections, by_connection(events(packets)), KeyIds()) == []
    ledger = read_ledger(packets)
    assert ledger["complete"], ledger
    # Some acknowledgements are equal; were every packet seen twice, half would be duplicates.
    assert ledger["packets"]["duplicates"] < ledger["packets"]["followed"] / 20, ledger
    moved = [int(after[name]) - int(before[name]) for name in ("bytes_read", "bytes_written")]
    assert [ledger["request_bytes"], ledger["response_bytes"]] == moved


def test_the_profile_and_the_summary_name_the_interface(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port], source="ebpf:lo") as running:
        connection = Connection(server.port, 0)
        for number in range(20):
            connection.perform(read("get", [b"key-%d" % number]))
        assert "packets of ebpf:lo by" in running.stderr_text()
        recording = running.stop().expect(0).json
    assert [row["command"] for row in events(output)] == ["get"] * 20
    assert recording["ledger"]["own_request_bytes"] > 0
    manifest = json.loads((output / "manifest.json").read_text())
    assert (manifest["source"], manifest["time_basis"]) == ("ebpf:lo", "packet")
    assert manifest["hooks"] in {"tcx", "clsact"}
    assert "ebpf:lo" in membench("info", output).expect(0).stdout


@pytest.mark.skipif(not TUN.exists(), reason=f"{TUN} is missing")
@pytest.mark.parametrize(
    "wrap", [plain, tagged, twice_tagged, with_options, extended], ids=lambda wrap: wrap.__name__
)
def test_frames_of_every_form_give_the_events_of_the_sockets(
    tmp_path: Path, wrap: Wrapping
) -> None:
    port = free_port()
    with (
        wire() as there,
        both(tmp_path, port, f"ebpf:{NEAR}", prefix=there.inside) as (sockets, interface),
        pair(Disturbance(), Mirror(there, lambda _number: wrap)) as ends,
    ):
        converse(ends, port, 20_000)
        sockets.stop().expect(0)
        interface.stop().expect(0)
    assert differing(tmp_path / "sockets.mb", tmp_path / "packets.mb") == []
    ledgers = [read_ledger(tmp_path / name) for name in ("sockets.mb", "packets.mb")]
    assert all(ledger["complete"] for ledger in ledgers), ledgers
    for name in ("request_bytes", "response_bytes"):
        assert ledgers[0][name] == ledgers[1][name]


@pytest.mark.skipif(not TUN.exists(), reason=f"{TUN} is missing")
@pytest.mark.parametrize("hooks", [TCX, CLSACT])
def test_super_packets_give_the_events_of_the_sockets(tmp_path: Path, hooks: str) -> None:
    port = free_port()
    with pair(Disturbance()) as ends:
        joined(ends)
        inside = ends.inside(ends.server)
        with both(tmp_path, port, f"ebpf:{WIDE}", "--hooks", hooks, prefix=inside) as running:
            # Large values take many packets on the wire, but few super-packets.
            converse(ends, port, 900_000)
            for one in running:
                one.stop().expect(0)
    assert differing(tmp_path / "sockets.mb", tmp_path / "packets.mb") == []
    ledger = read_ledger(tmp_path / "packets.mb")
    assert ledger["complete"], ledger
    moved = ledger["request_bytes"] + ledger["response_bytes"]
    # More bytes a packet than the MTU allows: these were super-packets.
    assert moved / ledger["packets"]["followed"] > 1500, ledger
    assert moved == sum(
        read_ledger(tmp_path / "sockets.mb")[name] for name in ("request_bytes", "response_bytes")
    )


@pytest.mark.parametrize(
    ("frame", "term", "amount"),
    [
        (first_piece(segment(PORT, b"get key\r\n")), "fragments", 1),
        (plain(damaged(segment(PORT, b"get key\r\n"))), "packets_unreadable", 1),
        (plain(datagram(PORT, b"12345678get key\r\n")), None, 0),
        (first_piece(segment(PORT + 1, b"get key\r\n")), None, 0),
        (plain(segment(PORT + 1, b"get key\r\n")), None, 0),
    ],
    ids=["piece", "damaged", "foreign datagram", "other piece", "other port"],
)
def test_packets_that_are_not_followed_are_counted(
    tmp_path: Path, frame: tuple[int, bytes], term: str | None, amount: int
) -> None:
    output = tmp_path / "counted.mb"
    with (
        wire() as there,
        recorder(
            output, [PORT], "--no-stats", "--wait", source=f"ebpf:{NEAR}", prefix=there.inside
        ) as running,
    ):
        there.inject_ingress(*frame)
        recording = running.stop().expect(4 if term else 0).json
    ledger = read_ledger(output)
    assert ledger["complete"] == (term is None)
    if term is not None:
        assert ledger[term] == amount, ledger
    assert events(output) == []
    passed = f"nothing of port {PORT} passed ebpf:{NEAR}, where packets of other ports are left out"
    assert (recording["why_empty"] == passed) == (ledger["packets"]["taken"] == 0), recording


@pytest.mark.parametrize("wrap", [much_tagged, much_extended], ids=lambda wrap: wrap.__name__)
def test_more_headers_than_the_kernels_programs_walk_are_walked_afterwards(
    tmp_path: Path, wrap: Wrapping
) -> None:
    output = tmp_path / "headers.mb"
    with (
        wire() as there,
        recorder(
            output, [PORT], "--no-stats", source=f"ebpf:{NEAR}", prefix=there.inside
        ) as running,
    ):
        there.inject_ingress(*wrap(segment(PORT, b"get key\r\n")))
        there.inject_ingress(*wrap(segment(PORT + 1, b"get key\r\n")))
        running.stop().expect(0)
    assert [row["command"] for row in events(output)] == ["get"]
    assert read_ledger(output)["packets"]["taken"] == 1


@pytest.mark.kernel
@pytest.mark.quick
def test_datagrams_are_what_their_clients_say(tmp_path: Path) -> None:
    port, output = free_port(), tmp_path / "udp.mb"
    with (
        memcached(port=port, threads=2, arguments=("-U", str(port))) as server,
        exclusive("filters of lo"),
    ):
        before = server.settled_stats()
        with recorder(output, [port], "--no-stats", *ROOM, source="ebpf:lo") as running:
            clients = [Datagrams(port, host) for host in ("127.0.0.1", "::1")]
            for client in clients:
                for size in (10, 1_000, 40_000):
                    key = b"key-%d" % size
                    client.set(key, b"v" * size)
                    client.get(key, b"absent", key)
                client.close()
            running.stop().expect(0)
        after = server.settled_stats()
    ledger = read_ledger(output)
    assert ledger["complete"], ledger
    moved = [int(after[name]) - int(before[name]) for name in ("bytes_read", "bytes_written")]
    assert [ledger["request_bytes"], ledger["response_bytes"]] == moved
    columns = ("command", "key_size", "outcome", "value_size")
    found = by_connection(events(output)).values()
    assert [[tuple(row[name] for name in columns) for row in rows] for rows in found] == [
        [tuple(getattr(one, name) for name in columns) for one in client.log] for client in clients
    ]


def test_two_recordings_of_one_interface_see_everything(server: Memcached, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first.mb", "second.mb"))
    with (
        recorder(first, [server.port], "--no-stats", source="ebpf:lo") as one,
        recorder(second, [server.port], "--no-stats", source="ebpf:lo") as two,
    ):
        connection = Connection(server.port, 0)
        for number in range(50):
            connection.perform(read("get", [b"key-%d" % number]))
        two.stop().expect(0)
        for number in range(50):
            connection.perform(read("get", [b"key-%d" % number]))
        one.stop().expect(0)
    assert (len(events(first)), len(events(second))) == (100, 50)


def _mirrored(there: Wire) -> int:
    """Return the number of packets that the other filter has copied."""
    for line in there.tell("tc", "-s", "filter", "show", "dev", NEAR, "ingress").splitlines():
        if line.strip().startswith("Sent "):
            return int(line.split()[3])
    raise AssertionError("the filter is gone")


#: Action that makes a filter count: it copies each packet to a device that drops it.
_COPY = ("action", "mirred", "egress", "mirror", "dev", "lo")


@pytest.mark.parametrize("hooks", [TCX, CLSACT])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_is_left_and_others_are_not_disturbed(tmp_path: Path, hooks: str, end: str) -> None:
    with wire() as there:
        others = ("tc", "filter", "add", "dev", NEAR, "ingress", "protocol", "all", "u32")
        there.tell("tc", "qdisc", "add", "dev", NEAR, "clsact")
        there.tell(*others, "match", "u32", "0", "0", *_COPY)
        filters = there.filters()
        options = ("--no-stats", "--hooks", hooks)
        with recorder(
            tmp_path / "out.mb", [PORT], *options, source=f"ebpf:{NEAR}", prefix=there.inside
        ) as running:
            held = kernel_objects_of(running.pid)
            assert held
            before = _mirrored(there)
            there.inject_ingress(*plain(segment(PORT, b"get key\r\n")))
            until(lambda: _mirrored(there) > before, "the other filter's count")
            assert ("membench_in" in there.filters()) == (hooks == "clsact")
            if end == "stop":
                running.stop().expect(0)
            else:
                running.kill()
        until(lambda: there.filters().split() == filters.split(), "our filters gone")
        wait_until_gone(held, "a killed process")
        before = _mirrored(there)
        there.inject_ingress(*plain(segment(PORT, b"get key\r\n")))
        until(lambda: _mirrored(there) > before, "the other filter's count")


@pytest.mark.parametrize("hooks", [CLSACT])
def test_filters_left_by_a_killed_recording_are_removed_by_the_next(
    tmp_path: Path, hooks: str
) -> None:
    source, options = f"ebpf:{NEAR}", ("--no-stats", "--wait", "--hooks", hooks)
    with wire() as there:
        with recorder(
            tmp_path / "killed.mb", [PORT], *options, source=source, prefix=there.inside
        ) as running:
            assert "tc filter del dev near ingress" in running.stderr_text()
            # Its helper first, which would otherwise remove the filters.
            assert proc.children(running.pid)
            proc.signal_children(running.pid, signal.SIGKILL)
            running.kill()
        assert "membench_in" in there.filters()
        with recorder(
            tmp_path / "next.mb", [PORT], *options, source=source, prefix=there.inside
        ) as running:
            assert there.filters().count("membench_in direct-action") == 1
            running.stop().expect(0)
        assert there.filters() == ""
    assert read_ledger(tmp_path / "next.mb")["complete"]


@pytest.mark.parametrize("hooks", [CLSACT])
def test_one_filter_an_interface_is_ours(tmp_path: Path, hooks: str) -> None:
    options = ("--no-stats", "--wait", "--hooks", hooks)
    with (
        wire() as there,
        recorder(
            tmp_path / "one.mb", [PORT], *options, source=f"ebpf:{NEAR}", prefix=there.inside
        ) as running,
    ):
        second = ("record", f"ebpf:{NEAR}", tmp_path / "two.mb", *options)
        refused = membench(*second, "--duration", "1", prefix=there.inside).expect(5)
        assert "Failed to attach eBPF program: clsact" in refused.stderr
        assert there.filters().count("membench_in direct-action") == 1
        running.stop().expect(0)
        assert "clsact" not in there.tell("tc", "qdisc", "show", "dev", NEAR)


def test_an_interface_that_goes_ends_the_recording(tmp_path: Path) -> None:
    with (
        wire() as there,
        recorder(
            tmp_path / "gone.mb", [PORT], "--no-stats", source=f"ebpf:{NEAR}", prefix=there.inside
        ) as running,
    ):
        there.tell("ip", "link", "delete", NEAR)
        ended = running.wait().expect(4)
    assert ended.json["ended"] == {
        "by": "source",
        "reason": f"interface gone: {NEAR} is not there any more",
    }


def test_doctor_tries_the_hook(server: Memcached) -> None:
    with exclusive("filters of lo"):
        told = membench("doctor", "--port", str(server.port), "--format", "json").expect(0).json
    (verdict,) = [one for one in told["sources"] if one["source"] == "ebpf:INTERFACE"]
    tried = {check["name"]: check["works"] for check in verdict["checks"]}
    assert verdict["works"]
    assert tried == {"load and attach to lo": True, "traffic control": True, "detach from lo": True}
