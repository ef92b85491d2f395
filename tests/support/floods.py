"""Clients that mean harm, each with a rate: permuted flags, new peers, short connections, lines.

Run as `python -m support.floods KIND PORT SECONDS`: it says how much it did, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable

from support.ports import PORTS

#: Flags of a meta get without a token, of memcached 1.6.18.
_LETTERS = "cfhklstv"
#: Peers of one address. None has the port of another test's server, whose answers its datagrams
#: would seem to be.
_PEERS_A_HOST = 32_000
_FRAME = b"\0\x07\0\0\0\x01\0\0"
#: Amounts a second, about.
PERMUTED, PEERS, VISITS, LINE_BYTES = 8_000, 10_000, 4_000, 20_000_000


def permuted_flags(port: int, over: Callable[[], bool]) -> int:
    """Send meta gets whose flags come in ever new orders."""
    rng, sent = random.Random(1), 0
    with socket.create_connection(("127.0.0.1", port)) as client:
        reading = threading.Thread(target=_swallow, args=(client,), daemon=True)
        reading.start()
        pace = _Pace(PERMUTED / 100)
        while not over():
            lines = []
            for _ in range(100):
                letters = rng.sample(_LETTERS, len(_LETTERS))
                opaque = "" if rng.random() < 0.5 else " O1"
                lines.append(f"mg k {' '.join(letters)}{opaque}\r\n")
            client.sendall("".join(lines).encode())
            sent += len(lines)
            pace.keep()
        client.shutdown(socket.SHUT_WR)
        reading.join(30)
    return sent


def new_peers(port: int, over: Callable[[], bool]) -> int:
    """Send datagrams, each from another address."""
    sent, pace = 0, _Pace(PEERS)
    while not over():
        turn, port_of_peer = divmod(sent, _PEERS_A_HOST)
        host = f"127.{1 + turn // 250}.{turn % 250}.9"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            try:
                peer.bind((host, PORTS[1] + port_of_peer))
            except OSError:  # in use
                sent += 1
                continue
            peer.sendto(_FRAME + b"get a\r\n", ("127.0.0.1", port))
        sent += 1
        pace.keep()
    return sent


def short_connections(port: int, over: Callable[[], bool]) -> int:
    """Open and close connections, each with one request. Two of these make the rate."""
    made, pace = 0, _Pace(VISITS / 2)
    while not over():
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            try:
                client.bind(
                    (f"127.{3 + os.getpid() % 200}.{made // 200 % 200}.{1 + made % 200}", 0)
                )
                client.connect(("127.0.0.1", port))
                client.sendall(b"get a\r\n")
                client.recv(100)
            except OSError:  # the server has all connections that it allows
                continue
        made += 1
        pace.keep()
    return made


def endless_lines(port: int, over: Callable[[], bool]) -> int:
    """Send lines that do not end, until the server hangs up."""
    sent, pace = 0, _Pace(LINE_BYTES / 65_536)
    while not over():
        with socket.create_connection(("127.0.0.1", port)) as client:
            try:
                while not over():
                    client.sendall(b"get " + b"k" * 65_532)
                    sent += 65_536
                    pace.keep()
            except OSError:  # it hung up, as memcached does
                continue
    return sent


FLOODS = {
    "permuted_flags": permuted_flags,
    "new_peers": new_peers,
    "short_connections": short_connections,
    "endless_lines": endless_lines,
}


class _Pace:
    def __init__(self, per_second: float) -> None:
        self._each = 1 / per_second
        self._next = time.monotonic()

    def keep(self) -> None:
        """Wait so long that the rate is not exceeded; a rate that is missed is not made up for."""
        now = time.monotonic()
        self._next = max(self._next + self._each, now - 0.1)
        if self._next > now:
            time.sleep(self._next - now)


def _swallow(client: socket.socket) -> None:
    try:
        while client.recv(1 << 16):
            pass
    except OSError:
        return


def _main() -> None:
    kind, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    end = time.monotonic() + seconds
    done = FLOODS[kind](port, lambda: time.monotonic() >= end)
    sys.stdout.write(json.dumps({kind: done}))


if __name__ == "__main__":
    _main()
