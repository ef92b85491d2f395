"""A memcached client over UDP that logs its operations."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from support.waiting import DEADLINE

_FRAME = struct.Struct(">HHHH")


@dataclass(slots=True)
class Done:
    """One operation, as the client saw it."""

    command: str
    key_size: int
    outcome: str
    value_size: int | None


class Datagrams:
    """One client socket; request ids count up."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Bind to an ephemeral port and connect to `port`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.connect((host, port))
        self._socket.settimeout(DEADLINE)
        self._id = 0
        self.log: list[Done] = []
        self.sent_bytes = self.received_bytes = self.received = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, payload: bytes, total: int = 1) -> None:
        """Send one datagram with the next request id; `total` is the count the header claims."""
        self._id += 1
        datagram = _FRAME.pack(self._id, 0, total, 0) + payload
        self._socket.send(datagram)
        self.sent_bytes += len(datagram)

    def was_read(self) -> bool:
        """Return true if every socket of the server has an empty receive queue."""
        here = f":{self._socket.getpeername()[1]:04X}"
        rows = [
            row.split()
            for name in ("udp", "udp6")
            for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        ]
        waiting = [row[4] for row in rows if row[1].endswith(here)]
        return bool(waiting) and all(queues.endswith(":00000000") for queues in waiting)

    def answer(self) -> bytes:
        """Receive one response to the last request, its datagrams in order."""
        parts: dict[int, bytes] = {}
        total = 1
        while len(parts) < total:
            datagram = self._socket.recv(65536)
            number, sequence, total, _ = _FRAME.unpack(datagram[: _FRAME.size])
            assert number == self._id
            parts[sequence] = datagram[_FRAME.size :]
            self.received_bytes += len(datagram)
            self.received += 1
        return b"".join(parts[place] for place in sorted(parts))

    def get(self, *keys: bytes) -> list[bytes]:
        """Send one `get` a key in a single datagram; each gets a response of its own."""
        self.send(b"".join(b"get %s\r\n" % key for key in keys))
        answers = [self.answer() for _ in keys]
        for key, answer in zip(keys, answers, strict=True):
            hit = answer.startswith(b"VALUE ")
            size = int(answer.split(b"\r\n")[0].split(b" ")[3]) if hit else None
            self.log.append(Done("get", len(key), "hit" if hit else "miss", size))
        return answers

    def set(self, key: bytes, value: bytes, *, noreply: bool = False) -> None:
        """Store a value that fits a datagram together with its command."""
        last = b" noreply" if noreply else b""
        self.send(b"set %s 0 0 %d%s\r\n%s\r\n" % (key, len(value), last, value))
        if not noreply:
            assert self.answer() == b"STORED\r\n"
        outcome = "suppressed" if noreply else "stored"
        self.log.append(Done("set", len(key), outcome, len(value)))
