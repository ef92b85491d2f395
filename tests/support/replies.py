"""Bytes from memcached → lines and blocks; reply codes → outcomes; no code of the product."""

from __future__ import annotations

import socket

STORAGE = {
    b"STORED": "stored",
    b"NOT_STORED": "not_stored",
    b"EXISTS": "exists",
    b"NOT_FOUND": "not_found",
    b"DELETED": "deleted",
    b"TOUCHED": "touched",
    b"OK": "ok",
    b"ERROR": "client_error",
    b"CLIENT_ERROR": "client_error",
    b"SERVER_ERROR": "server_error",
    b"VERSION": "ok",
    b"MN": "ok",
}

META = {
    "mg": {b"HD": "hit", b"VA": "hit", b"EN": "miss"},
    "me": {b"ME": "hit", b"EN": "miss"},
    "ms": {b"HD": "stored", b"NS": "not_stored", b"EX": "exists", b"NF": "not_found"},
    "md": {b"HD": "deleted", b"EX": "exists", b"NF": "not_found"},
    "ma": {
        b"HD": "stored",
        b"VA": "stored",
        b"NS": "not_stored",
        b"EX": "exists",
        b"NF": "not_found",
    },
}


class Reader:
    """Reader of a socket, by line or by count."""

    def __init__(self, source: socket.socket) -> None:
        """Take the socket to read from."""
        self._source = source
        self._held = bytearray()
        self.consumed = 0

    def _receive(self) -> None:
        received = self._source.recv(1 << 20)
        if not received:
            raise ConnectionError("memcached closed the connection")
        self._held += received

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        while len(self._held) < count:
            self._receive()
        taken = bytes(self._held[:count])
        del self._held[:count]
        self.consumed += count
        return taken

    def line(self) -> bytes:
        """Return the next line, without CR LF."""
        start = 0
        while (end := self._held.find(b"\r\n", start)) < 0:
            start = max(len(self._held) - 1, 0)
            self._receive()
        return self.take(end + 2)[:-2]


def outcome_of(line: bytes) -> str:
    """Return the outcome of a one-line reply; a bare number is the new value of a counter."""
    code = line.split(b" ", 1)[0]
    return "stored" if line.strip().isdigit() else STORAGE[code]


def meta_outcome(command: str, line: bytes) -> str:
    """Return the outcome of a meta reply, from its code and its win and stale flags."""
    code, *flags = line.split(b" ")
    if code in STORAGE:
        return STORAGE[code]
    if command == "mg" and code != b"EN":
        flags = flags[1:] if code == b"VA" else flags
        if b"W" in flags:
            return "won"
        if b"X" in flags:
            return "stale"
    return META[command][code]
