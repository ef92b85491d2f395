"""Escape sequences, as strangers write them where membench reads; a memcached that sends them."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Sets a terminal's title, turns the text red by ESC and by the C1 form of it, turns its direction
#: around, rings, and goes back to the start of the line.
ESCAPES = "\x1b]0;owned\x07\x1b[31mRED\x9b5m\u202elive\u2066\r\b\x7f"
#: Characters that may steer a terminal, apart from the ends of lines.
_STEERING = frozenset(
    character
    for start, end in (
        ("\0", "\x09"),
        ("\x0b", "\x1f"),
        ("\x7f", "\x9f"),
        ("\u061c", "\u061c"),
        ("\u200e", "\u200f"),
        ("\u2028", "\u202e"),
        ("\u2066", "\u2069"),
    )
    for character in map(chr, range(ord(start), ord(end) + 1))
)


def steering(text: str) -> str:
    """Return the characters of a text that may steer a terminal."""
    return "".join(character for character in text if character in _STEERING)


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            verb = line.split()[:1]
            self.wfile.write(self._answer(verb[0] if verb else b""))

    def _answer(self, verb: bytes) -> bytes:
        evil = ESCAPES.replace("\r", "").encode()
        if verb == b"stats":
            lines = [b"pid 1", b"curr_items 0", b"curr_connections 1", b"version 1.6.18" + evil]
            lines += [b"threads 4" + evil, evil + b" " + evil]
            return b"".join(b"STAT " + line + b"\r\n" for line in lines) + b"END\r\n"
        if verb == b"version":
            return b"VERSION 1.6.18" + evil + b"\r\n"
        if verb == b"watch":
            return evil + b"\r\n"
        return b"SERVER_ERROR " + evil + b"\r\n"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def evil_memcached() -> Iterator[int]:
    """Run a server that answers every question with escape sequences; yield its port."""
    with _Server(("127.0.0.1", 0), _Talk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
