"""A memcached recorded through its own log, and clients that keep one as well."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import ClassVar

from support.cli import COMMAND, Completed, environment
from support.server import Memcached
from support.waiting import DEADLINE, until

#: KiB of log a worker, and a watcher, may be behind.
ROOM = ("-o", "worker_logbuf_size=16384,watcher_logbuf_size=16384")
#: The key of the key file that tests give.
KEY = bytes(range(16))
Seen = tuple[str, bytes, int | None]


class Client:
    """A client that reads and stores, and logs command, key and the value's size, if any."""

    _open: ClassVar[list[Client]] = []

    def __init__(self, server: Memcached) -> None:
        """Connect."""
        self._open.append(self)
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        self._answers = self._socket.makefile("rb")
        self.log: list[Seen] = []

    def set(self, key: bytes, value: bytes) -> None:
        """Store."""
        self.say(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        assert self.line() == b"STORED\r\n"
        self.log.append(("set", key, len(value)))

    def get(self, key: bytes) -> None:
        """Read."""
        self.say(b"get %s\r\n" % key)
        first = self.line()
        size = None
        if first != b"END\r\n":
            size = int(first.split()[3])
            self._answers.read(size + 2)
            assert self.line() == b"END\r\n"
        self.log.append(("get", key, size))

    def say(self, request: bytes) -> None:
        """Send some bytes."""
        self._socket.sendall(request)

    def line(self) -> bytes:
        """Take a line of the answer."""
        return self._answers.readline()

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self._socket.close()

    @classmethod
    def close_all(cls) -> None:
        """Hang up for every client."""
        while cls._open:
            cls._open.pop().close()


class Watching:
    """`membench record` from a log, while it runs."""

    def __init__(self, server: Memcached, output: Path, *options: str) -> None:
        """Start it, and wait until the server sends its log."""
        source = f"watch:{server.address}"
        self._process = subprocess.Popen(
            [*COMMAND, "record", source, str(output), "--format", "json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        until(lambda: self._process.poll() is not None or self._is_watched(server), "the watcher")

    def _is_watched(self, server: Memcached) -> bool:
        states = server.stats("conns")
        return any(state == "conn_watch" for state in states.values())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait(self, timeout: float = DEADLINE) -> Completed:
        """Let it end."""
        stdout, stderr = self._process.communicate(timeout=timeout)
        return Completed(self._process.returncode, stdout, stderr)

    def stop(self) -> Completed:
        """End it, as Ctrl-C does."""
        self._process.terminate()
        return self.wait()
