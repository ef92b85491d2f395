"""A memcached that requires SASL authentication (`-S`), and a client that authenticates."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.binary import HEADER, OPCODES, REQUEST
from support.server import Memcached, connect
from support.waiting import DEADLINE, PATIENCE

USER, SECRET = b"user@membench", b"a-secret-of-mine"
#: Creates the user, like `saslpasswd2`, which may not be installed.
_MAKE_USER = """
import ctypes, sys
sasl, made = ctypes.CDLL("libsasl2.so.2"), ctypes.c_void_p()
user, secret = (word.encode() for word in sys.argv[1:])
name, realm = user.split(b"@")
assert sasl.sasl_server_init(None, b"memcached") == 0
assert sasl.sasl_server_new(b"memcached", realm, None, None, None, None, 0, ctypes.byref(made)) == 0
assert sasl.sasl_setpass(made, name, secret, len(secret), None, 0, 1) == 0
"""


class Guarded(Memcached):
    """A memcached that answers authenticated clients only, so `stats` cannot show that it is up."""

    def _answers(self, _pid: int) -> bool:
        with suppress(OSError), connect(self.port, timeout=1 * PATIENCE):
            return True
        return False


@contextmanager
def guarded(folder: Path) -> Iterator[Memcached]:
    """Start a memcached with one user; raises OSError where libsasl or its database is missing."""
    (folder / "memcached.conf").write_text(
        "mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
        f"sasldb_path: {folder / 'users'}\n"
    )
    words = [sys.executable, "-c", _MAKE_USER, USER.decode(), SECRET.decode()]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SASL_CONF_PATH", str(folder))
        made = subprocess.run(words, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise OSError(made.stderr.strip().splitlines()[-1])
        server = Guarded(arguments=("-S",))
    try:
        yield server
    finally:
        server.stop()


class Peer:
    """A connection that counts its bytes and keeps the status of each response."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.sent = self.received = 0
        self.statuses: list[int] = []

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, name: str, key: bytes = b"", value: bytes = b"", extras: bytes = b"") -> bytes:
        """Send a request; return the body of its response."""
        opcode, _ = OPCODES[name]
        size = len(key) + len(extras) + len(value)
        header = HEADER.pack(REQUEST, opcode, len(key), len(extras), 0, 0, size, 7, 0)
        request = header + extras + key + value
        self._socket.sendall(request)
        self.sent += len(request)
        fields = HEADER.unpack(self._take(HEADER.size))
        self.statuses.append(fields[5])
        return self._take(fields[6])

    def _take(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            received = self._socket.recv(size - len(taken))
            if not received:
                raise ConnectionError("memcached closed the connection")
            taken += received
        self.received += size
        return taken

    def is_closed(self) -> bool:
        """Return true once memcached has closed the connection."""
        return not self._socket.recv(1)
