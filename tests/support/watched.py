"""A memcached recorded through its own log, and clients that log their operations."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import ClassVar

from support.cli import COMMAND, Completed, environment, says_started
from support.server import Memcached, StatsConnection
from support.waiting import DEADLINE, until

#: Log buffers of workers and watchers, KiB: large enough that memcached drops no line.
ROOM = ("-o", "worker_logbuf_size=16384,watcher_logbuf_size=16384")
#: Secret in the tests' key file.
KEY = bytes(range(16))
Seen = tuple[str, bytes, int | None]


class Client:
    """A client that logs each operation: command, key, and the value's size or None."""

    _open: ClassVar[list[Client]] = []

    def __init__(self, server: Memcached) -> None:
        """Connect."""
        self._open.append(self)
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        self._answers = self._socket.makefile("rb")
        self.log: list[Seen] = []

    def set(self, key: bytes, value: bytes) -> None:
        """Store a value and log the operation."""
        self.say(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        assert self.line() == b"STORED\r\n"
        self.log.append(("set", key, len(value)))

    def get(self, key: bytes) -> None:
        """Read a key and log the operation."""
        self.say(b"get %s\r\n" % key)
        first = self.line()
        size = None
        if first != b"END\r\n":
            size = int(first.split()[3])
            self._answers.read(size + 2)
            assert self.line() == b"END\r\n"
        self.log.append(("get", key, size))

    def say(self, request: bytes) -> None:
        """Send bytes without logging an operation."""
        self._socket.sendall(request)

    def line(self) -> bytes:
        """Return the next line of the response."""
        return self._answers.readline()

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()

    @classmethod
    def close_all(cls) -> None:
        """Close the connections of all clients."""
        while cls._open:
            cls._open.pop().close()


class Watching:
    """A running `membench record` of a server's log."""

    def __init__(self, server: Memcached, output: Path, *options: str) -> None:
        """Start the recorder and wait until it records and the server sends its log."""
        self._server = server
        source = f"watch:{server.address}"
        # memcached keeps a watcher that has gone until it writes to it.
        self._others = server.watchers()
        # Files, not pipes: a test reads them while the recorder runs.
        self._stdout, self._stderr = (
            output.with_name(f"{output.name}.{end}") for end in ("out", "err")
        )
        with self._stdout.open("w") as stdout, self._stderr.open("w") as stderr:
            self._process = subprocess.Popen(
                [*COMMAND, "record", source, str(output), "--format", "json", *options],
                stdout=stdout,
                stderr=stderr,
                env=environment(),
            )
        until(lambda: self._process.poll() is not None or self._records(server), "the recorder")

    def _records(self, server: Memcached) -> bool:
        if not says_started(self._stderr.read_text()):
            return False
        return bool(server.watchers() - self._others)

    @property
    def pid(self) -> int:
        """Process id of the recorder."""
        return self._process.pid

    def wait(self, timeout: float = DEADLINE) -> Completed:
        """Wait for the recorder to end."""
        code = self._process.wait(timeout)
        return Completed(code, self._stdout.read_text(), self._stderr.read_text())

    def stop(self) -> Completed:
        """End the recorder with SIGTERM, which acts like Ctrl-C, once the server has sent its log.

        memcached sends lines up to a second late, and later on a busy machine.
        """
        # One connection: each new one is logged as well.
        asking = StatsConnection(self._server.port)
        until(lambda: _is_sent(asking.ask()), "every line of the log")
        asking.close()
        self._process.terminate()
        return self.wait()


def _is_sent(counters: dict[str, str]) -> bool:
    sent, skipped, written = (
        int(counters[name])
        for name in ("log_watcher_sent", "log_watcher_skipped", "log_worker_written")
    )
    return sent + skipped >= written
