"""A network namespace with a veth pair, and frames of any kind on it."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.namespace import Namespace, namespace

#: Names of the pair's interfaces: the recorded one, and its peer.
NEAR, FAR = "near", "far"
_IPV4, _IPV6, _TAG, _SERVICE_TAG = 0x0800, 0x86DD, 0x8100, 0x88A8
_TCP = 6
#: Options of an IPv4 header: a NOP, a timestamp option, and padding.
_OPTIONS = bytes([1, 68, 8, 5, 0, 0, 0, 0, 0, 0, 0, 0])

#: An IPv4 packet → the type of a frame and its payload.
Wrapping = Callable[[bytes], tuple[int, bytes]]


def plain(packet: bytes) -> tuple[int, bytes]:
    """Leave the packet as it is."""
    return _IPV4, packet


def tagged(packet: bytes) -> tuple[int, bytes]:
    """Put the packet behind a VLAN tag."""
    return _TAG, struct.pack("!HH", 5, _IPV4) + packet


def twice_tagged(packet: bytes) -> tuple[int, bytes]:
    """Put the packet behind a service tag and a customer tag."""
    return _SERVICE_TAG, struct.pack("!HHHH", 7, _TAG, 5, _IPV4) + packet


def much_tagged(packet: bytes) -> tuple[int, bytes]:
    """Put the packet behind more tags than programs walk, including the one the kernel removes."""
    tags = struct.pack("!HHHHHHHH", 7, _TAG, 5, _TAG, 6, _TAG, 4, _IPV4)
    return _SERVICE_TAG, tags + packet


def with_options(packet: bytes) -> tuple[int, bytes]:
    """Insert 12 bytes of IPv4 options."""
    header = bytearray(packet[:20])
    header[0] += len(_OPTIONS) // 4
    header[2:4] = struct.pack("!H", len(packet) + len(_OPTIONS))
    return _IPV4, bytes(header) + _OPTIONS + packet[20:]


def extended(packet: bytes, more: int = 0) -> tuple[int, bytes]:
    """Translate to IPv6 with a hop-by-hop header and `1 + more` destination options headers."""
    destination = 60
    chain = [(0, 8), (destination, 16)] + [(destination, 8)] * more
    following = [kind for kind, _ in chain[1:]] + [_TCP]
    headers = b"".join(
        bytes([after, size // 8 - 1, 1, size - 4]) + bytes(size - 4)
        for after, (_, size) in zip(following, chain, strict=True)
    )
    body = headers + packet[20:]
    addresses = b"".join(bytes.fromhex("fd") + bytes(11) + packet[at : at + 4] for at in (12, 16))
    return _IPV6, struct.pack("!IHBB", 6 << 28, len(body), 0, 64) + addresses + body


def much_extended(packet: bytes) -> tuple[int, bytes]:
    """Translate to IPv6 with more extension headers than programs walk."""
    return extended(packet, more=8)


def first_piece(packet: bytes) -> tuple[int, bytes]:
    """Mark the packet as the first fragment of a longer one."""
    header = bytearray(packet)
    header[6] |= 0x20
    return _IPV4, bytes(header)


def damaged(packet: bytes) -> bytes:
    """Make a TCP header too short to be one."""
    header = bytearray(packet)
    header[32] = 1 << 4
    return bytes(header)


def datagram(port: int, payload: bytes) -> bytes:
    """Return a UDP packet to `port`."""
    udp = struct.pack("!HHHH", 40_000, port, 8 + len(payload), 0) + payload
    return _ipv4(17, udp)


def segment(port: int, payload: bytes) -> bytes:
    """Return a TCP packet to `port`."""
    tcp = struct.pack("!HHIIBBHHH", 40_000, port, 7, 9, 5 << 4, 0x18, 1_000, 0, 0) + payload
    return _ipv4(_TCP, tcp)


def _ipv4(protocol: int, body: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    return header + bytes([10, 9, 9, 1]) + bytes([10, 9, 9, 2]) + body


@dataclass(frozen=True, slots=True)
class Wire:
    """A veth pair in its namespace, with a raw socket at each end."""

    namespace: Namespace
    near: socket.socket
    far: socket.socket

    @property
    def inside(self) -> tuple[str, ...]:
        """Prefix that runs a command in the namespace, with that namespace's /sys."""
        script = 'mount -t sysfs sysfs /sys && exec "$@"'
        enter = ("nsenter", f"--net={self.namespace.path}", "unshare", "--mount")
        return (*enter, "sh", "-c", script, "sh")

    def inject_ingress(self, kind: int, rest: bytes) -> None:
        """Send a frame that the near end receives."""
        self.far.send(_frame(kind, rest))

    def inject_egress(self, kind: int, rest: bytes) -> None:
        """Send a frame from the near end."""
        self.near.send(_frame(kind, rest))

    def tell(self, *command: str) -> str:
        """Run a command in the namespace; return its output."""
        done = subprocess.run([*self.inside, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def filters(self) -> str:
        """Return the clsact filters of the near end, as tc lists them."""
        ways = ("ingress", "egress")
        return "".join(self.tell("tc", "filter", "show", "dev", NEAR, way) for way in ways)


class Mirror:
    """Copies each packet of connections to a wire, in a frame of another form.

    `wrapping` returns the form of a connection by its number, in the order of their beginnings.
    """

    def __init__(self, there: Wire, wrapping: Callable[[int], Wrapping]) -> None:
        """Take the wire."""
        self._there, self._wrapping = there, wrapping
        self._numbers: dict[int, int] = {}

    def __call__(self, packet: bytes, to_server: bool) -> None:
        """Copy a packet."""
        if packet[0] >> 4 != 4:
            return
        client = int.from_bytes(packet[20:22] if to_server else packet[22:24])
        wrap = self._wrapping(self._numbers.setdefault(client, len(self._numbers)))
        send = self._there.inject_ingress if to_server else self._there.inject_egress
        send(*wrap(packet))


def _frame(kind: int, rest: bytes) -> bytes:
    return bytes([2, 0, 0, 0, 0, 1]) + bytes([2, 0, 0, 0, 0, 2]) + struct.pack("!H", kind) + rest


@contextmanager
def wire() -> Iterator[Wire]:
    """Create a veth pair in a namespace of its own."""
    with namespace() as there:
        enter = ["nsenter", f"--net={there.path}"]
        for command in (
            f"ip link add {NEAR} type veth peer name {FAR}",
            f"ip link set {NEAR} mtu 4000",
            f"ip link set {FAR} mtu 4000",
            f"ip link set {NEAR} up",
            f"ip link set {FAR} up",
        ):
            subprocess.run([*enter, *command.split()], check=True, capture_output=True)
        with there.inside():
            near, far = _raw(NEAR), _raw(FAR)
        with near, far:
            yield Wire(there, near, far)


def _raw(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.bind((interface, 0))
    return end
