"""Traffic in tunnels, recorded at an interface → the events of the sockets, and of a file."""

from __future__ import annotations

from ctypes.util import find_library
from pathlib import Path
from typing import Any

import pytest

from support.agreement import differing
from support.cli import membench, read_ledger, recorder
from support.conversation import WIDE, both, converse, joined, tell
from support.namespaces import CLIENT, SERVER, TUN, Disturbance, Pair, pair
from support.packets import tcpdump
from support.ports import free_port
from support.profile import events
from support.tunnels import TUNNELS
from support.wires import NEAR, Mirror, datagram, first_piece, segment, wire

pytestmark = [
    pytest.mark.root,
    pytest.mark.memcached,
    pytest.mark.kernel,
    pytest.mark.skipif(not TUN.exists(), reason=f"{TUN} is missing"),
]

#: Port in namespaces that only their test uses.
PORT = 21413
#: Ends of a tunnel, inside it.
INSIDE = ("10.214.0.1", "10.214.0.2")


def of_file(folder: Path, port: int) -> Path:
    """Record the capture file with the recordings' key; return the profile."""
    profile = folder / "file.mb"
    key = ("--key-file", folder / "ids.key")
    membench("record", folder / "wire.pcap", profile, "--port", str(port), *key).expect(0)
    return profile


def agree(folder: Path, port: int) -> dict[str, Any]:
    """Compare sockets, interface and file; return the interface's ledger."""
    file = of_file(folder, port)
    sockets, packets = folder / "sockets.mb", folder / "packets.mb"
    assert differing(sockets, packets) == []
    assert differing(file, packets) == []
    ledgers = [read_ledger(profile) for profile in (sockets, packets, file)]
    assert all(ledger["complete"] for ledger in ledgers), ledgers
    for name in ("request_bytes", "response_bytes"):
        assert len({ledger[name] for ledger in ledgers}) == 1, ledgers
    live: dict[str, Any] = ledgers[1]
    for name in ("followed", "encapsulated"):
        assert live["packets"][name] == ledgers[2]["packets"][name], name
    return live


@pytest.mark.quick
def test_packets_in_tunnels_of_every_kind_give_the_events_of_the_sockets(tmp_path: Path) -> None:
    port = free_port()
    wraps = list(TUNNELS.values())
    with (
        wire() as there,
        both(tmp_path, port, f"ebpf:{NEAR}", prefix=there.inside) as (sockets, interface),
        tcpdump(tmp_path / "wire.pcap", None, interface=NEAR, prefix=there.inside),
        pair(Disturbance(), Mirror(there, lambda number: wraps[number % len(wraps)])) as ends,
    ):
        moved = converse(ends, port, 5_000, count=len(wraps), pipelines=2)
        for one in (sockets, interface):
            one.stop().expect(0)
    ledger = agree(tmp_path, port)
    assert [ledger["request_bytes"], ledger["response_bytes"]] == moved
    packets = ledger["packets"]
    # Each was in a tunnel, and no packet of the wire was passed on in vain.
    assert packets["encapsulated"] == packets["followed"] == packets["taken"], packets


@pytest.mark.quick
def test_packets_of_other_ports_stay_in_the_kernel_wrapped_or_not(tmp_path: Path) -> None:
    output = tmp_path / "others.mb"
    wraps = TUNNELS.values()
    with (
        wire() as there,
        recorder(
            output, [PORT], "--no-stats", source=f"ebpf:{NEAR}", prefix=there.inside
        ) as running,
    ):
        for packet in (
            segment(PORT + 1, b"get key\r\n"),
            datagram(PORT + 1, b"12345678get key\r\n"),
            first_piece(segment(PORT + 1, b"get key\r\n"))[1],
        ):
            for wrap in (lambda packet: (0x0800, packet), *wraps):
                there.inject_ingress(*wrap(packet))
        there.inject_ingress(*TUNNELS["nested"](segment(PORT, b"get key\r\n")))
        running.stop().expect(0)
    ledger = read_ledger(output)
    assert ledger["complete"]
    assert ledger["packets"]["taken"] == 1


#: Tunnels of the kernel's own, as `ip link add` is told. `{here}` and `{there}` are their ends.
KINDS = {
    "vxlan": "type vxlan id 7 dstport 4789 local {here} remote {there} dev wide",
    "geneve": "type geneve id 7 remote {there}",
    "gre": "type gre local {here} remote {there} key 5",
    "gretap": "type gretap local {here} remote {there}",
    "erspan I": "type erspan local {here} remote {there} erspan_ver 0",
    "erspan II": "type erspan local {here} remote {there} seq key 9 erspan 5",
    "erspan III": "type erspan local {here} remote {there} seq key 9"
    " erspan_ver 2 erspan_dir ingress erspan_hwid 3",
    "ipip": "type ipip local {here} remote {there}",
    "tag": "link wide type vlan id 7 protocol 802.1ad",
}


def tunnelled(ends: Pair, words: str) -> None:
    """Lay a tunnel between the namespaces; skip the test if the kernel has none of that kind."""
    joined(ends)
    for namespace, here, there, inside in (
        (ends.server, SERVER, CLIENT, INSIDE[0]),
        (ends.client, CLIENT, SERVER, INSIDE[1]),
    ):
        made = words.format(here=here, there=there)
        try:
            tell(namespace, "link", "add", "name", "tunnel", *made.split())
        except AssertionError as error:
            if "Unknown device type" in str(error):
                pytest.skip(f"this kernel has no device of {made}")
            raise
        tell(namespace, "address", "add", f"{inside}/24", "dev", "tunnel")
        tell(namespace, "link", "set", "tunnel", "up")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.quick] if kind in {"vxlan", "erspan III"} else [])
        for kind in KINDS
    ],
)
def test_packets_in_the_kernels_own_tunnels_give_the_events_of_the_sockets(
    tmp_path: Path, kind: str
) -> None:
    port = free_port()
    with pair(Disturbance()) as ends:
        tunnelled(ends, KINDS[kind])
        inside = ends.inside(ends.server)
        with (
            both(tmp_path, port, f"ebpf:{WIDE}", prefix=inside) as (sockets, interface),
            tcpdump(tmp_path / "wire.pcap", None, interface=WIDE, prefix=inside),
        ):
            moved = converse(ends, port, 100_000, pipelines=4, address=INSIDE[0])
            for one in (sockets, interface):
                one.stop().expect(0)
    ledger = agree(tmp_path, port)
    assert [ledger["request_bytes"], ledger["response_bytes"]] == moved


def test_a_tunnels_first_piece_is_a_packet_that_is_cut(tmp_path: Path) -> None:
    output = tmp_path / "cut.mb"
    request = b"set key 0 0 1000\r\n" + bytes(1000) + b"\r\n"
    _, whole = TUNNELS["vxlan"](segment(PORT, request))
    with (
        wire() as there,
        recorder(
            output, [PORT], "--no-stats", source=f"ebpf:{NEAR}", prefix=there.inside
        ) as running,
    ):
        there.inject_ingress(*first_piece(whole[:600]))
        running.stop()
    assert [row["command"] for row in events(output)] == ["set"]


@pytest.mark.parametrize(
    "source",
    [
        f"ebpf:{NEAR}",
        pytest.param(
            f"pcap:{NEAR}",
            marks=pytest.mark.skipif(find_library("pcap") is None, reason="no libpcap here"),
        ),
    ],
)
def test_any_port_finds_memcached_by_what_its_clients_send(tmp_path: Path, source: str) -> None:
    port = free_port()
    wraps = (lambda packet: (0x0800, packet), *TUNNELS.values())
    with (
        wire() as there,
        both(tmp_path, port, f"ebpf:{NEAR}", prefix=there.inside) as (sockets, interface),
        recorder(
            tmp_path / "any.mb",
            ["any"],
            "--no-stats",
            "--key-file",
            str(tmp_path / "ids.key"),
            source=source,
            prefix=there.inside,
        ) as any_port,
        pair(Disturbance(), Mirror(there, lambda number: wraps[number % len(wraps)])) as ends,
    ):
        for wrap in wraps:
            there.inject_ingress(*wrap(segment(PORT, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")))
            there.inject_ingress(*wrap(datagram(53, b"no memcached's")))
        converse(ends, port, 2_000, count=6, pipelines=2)
        for one in (sockets, interface, any_port):
            one.stop().expect(0)
    assert differing(tmp_path / "sockets.mb", tmp_path / "any.mb") == []
    ledgers = [read_ledger(tmp_path / name) for name in ("packets.mb", "any.mb")]
    assert all(ledger["complete"] for ledger in ledgers), ledgers
    assert ledgers[0]["request_bytes"] == ledgers[1]["request_bytes"]
    assert ledgers[1]["packets"]["taken"] >= ledgers[0]["packets"]["taken"] + 2 * len(wraps)
