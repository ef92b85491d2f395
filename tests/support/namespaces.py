"""Two network namespaces joined by a network that loses, duplicates and reorders packets.

The network is a thread between two TUN devices: not every kernel has netem.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import select
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from support import proc
from support.process import started
from support.waiting import until

SERVER, CLIENT = "10.213.0.1", "10.213.0.2"
TUN = Path("/dev/net/tun")
#: States of a TCP socket in `/proc/net/tcp`: listening, and those of a connection that may still
#: send or acknowledge something.
LISTEN, OPEN = "0A", ("01", "03", "04", "05", "08", "09", "0B")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
#: Longest time that a packet is held back for another to overtake it, s.
_HELD = 0.003


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Fractions of packets that are lost, duplicated, and overtaken by another."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Names of the two namespaces; each has the interfaces `inner` and `lo`."""

    server: str
    client: str

    def inside(self, namespace: str) -> tuple[str, ...]:
        """Return the prefix that runs a command in a namespace."""
        return ("ip", "netns", "exec", namespace)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


#: Called with each packet that is carried, and true if it goes to the server.
Watch = Callable[[bytes, bool], None]


class _Network:
    """The two TUN devices, and the packet held back at each."""

    def __init__(self, ends: tuple[int, int], disturbance: Disturbance, watch: Watch) -> None:
        self._others = {ends[0]: ends[1], ends[1]: ends[0]}
        self._server, self._watch = ends[0], watch
        self._disturbance = disturbance
        self._held: dict[int, bytes] = {}
        self._chance = random.Random(7)

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share

    def carry(self, ended: int) -> None:
        """Pass packets from one end to the other until `ended` becomes readable."""
        while True:
            ready, _, _ = select.select([*self._others, ended], [], [], _HELD)
            if ended in ready:
                return
            for end in ready:
                self._pass(end, os.read(end, 65536))
            if not ready:
                self._release(list(self._held))

    def _pass(self, end: int, packet: bytes) -> None:
        if self._happens(self._disturbance.loss):
            return
        if end not in self._held and self._happens(self._disturbance.reorder):
            self._held[end] = packet
            return
        self._watch(packet, end != self._server)
        for _ in range(2 if self._happens(self._disturbance.duplicate) else 1):
            _send(self._others[end], packet)
        self._release([end] if end in self._held else [])

    def _release(self, ends: list[int]) -> None:
        for end in ends:
            _send(self._others[end], self._held.pop(end))


def _send(end: int, packet: bytes) -> None:
    """Hand a packet to a device, which drops it if it is down."""
    try:
        os.write(end, packet)
    except OSError as error:
        if error.errno != errno.EIO:
            raise


@contextmanager
def memcached_inside(ends: Pair, port: int, address: str = SERVER) -> Iterator[int]:
    """Start a memcached in the server's namespace; yield its process id once it listens."""
    command = ["memcached", "-p", str(port), "-U", "0", "-u", "root", "-l", address]
    with started([*ends.inside(ends.server), *command]) as server:
        until(
            lambda: server.poll() is not None or _rows(server.pid, port, LISTEN),
            "memcached listening",
        )
        assert server.poll() is None, f"memcached ended with {server.returncode}"
        yield server.pid


def wait_for_ends(pid: int, port: int) -> None:
    """Wait until no connection of a port is left in a process's network namespace."""
    until(lambda: not _rows(pid, port, *OPEN), "the connections' ends")


def _rows(pid: int, port: int, *states: str) -> list[list[str]]:
    here = f":{port:04X}"
    return [row for row in proc.tcp_rows(pid) if row[1].endswith(here) and row[3] in states]


def _tun(name: str) -> int:
    end = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return end


@contextmanager
def pair(
    disturbance: Disturbance, watch: Watch = lambda _packet, _to_server: None
) -> Iterator[Pair]:
    """Create the two namespaces; remove them and their interfaces when the block ends.

    `watch` is called for every packet that is passed on in order.
    """
    mark = uuid4().hex[:8]
    both = Pair(f"mb-s-{mark}", f"mb-c-{mark}")
    with ExitStack() as undo:
        ends = []
        for namespace, address in ((both.server, SERVER), (both.client, CLIENT)):
            _run("ip", "netns", "add", namespace)
            undo.callback(_run, "ip", "netns", "delete", namespace)
            name = f"mb{namespace[3]}{mark}"
            ends.append(_tun(name))
            undo.callback(os.close, ends[-1])
            _run("ip", "link", "set", name, "netns", namespace, "name", "inner")
            _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "inner")
            for interface in ("inner", "lo"):
                _run("ip", "-n", namespace, "link", "set", interface, "up")
        ended, end = os.pipe()
        undo.callback(os.close, ended)
        carrier = threading.Thread(
            target=_Network((ends[0], ends[1]), disturbance, watch).carry, args=(ended,)
        )
        carrier.start()
        undo.callback(carrier.join)
        undo.callback(os.close, end)
        yield both
