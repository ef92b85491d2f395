"""A real memcached: started on a free port, asked for its counters, stopped, continued."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support import proc
from support.ports import free_port
from support.waiting import DEADLINE, INTERVAL, PATIENCE, until

#: First release of memcached that reads the value of a storage line whose key it refuses.
READS_REFUSED_VALUES = (1, 6, 42)
STATS_REQUEST = b"stats\r\n"
#: Attempts to start a server, each at another port.
STARTS = 5
#: States of a TCP socket in `/proc/net/tcp`.
ESTABLISHED, CLOSE_WAIT, LISTEN = "01", "08", "0A"


def connect(
    endpoint: int | Path, host: str = "127.0.0.1", timeout: float = DEADLINE
) -> socket.socket:
    """Connect to a port, or to the path of a UNIX-domain socket."""
    if isinstance(endpoint, int):
        return socket.create_connection((host, endpoint), timeout=timeout)
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.settimeout(timeout)
        peer.connect(str(endpoint))
    except OSError:
        peer.close()
        raise
    return peer


class StatsConnection:
    """A connection that only asks for `stats`, and counts the bytes that takes."""

    def __init__(self, endpoint: int | Path, timeout: float = DEADLINE) -> None:
        """Connect to the server at `endpoint`."""
        self._socket = connect(endpoint, timeout=timeout)
        self.request_bytes = 0
        self.response_bytes = 0
        self.replies: list[int] = []

    def ask(self, group: str = "") -> dict[str, str]:
        """Ask once, for a group such as `items` if one is given."""
        request = f"stats {group}\r\n".encode() if group else STATS_REQUEST
        self._socket.sendall(request)
        reply = self._reply()
        self.request_bytes += len(request)
        self.response_bytes += len(reply)
        self.replies.append(len(reply))
        lines = [line.split(b" ", 2) for line in reply.split(b"\r\n")]
        return {line[1].decode(): line[2].decode() for line in lines if line[0] == b"STAT"}

    def _reply(self) -> bytes:
        reply = b""
        while not (reply.endswith(b"\r\nEND\r\n") or reply == b"END\r\n"):
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("memcached closed the connection on `stats`")
            reply += received
        return reply

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def is_idle(pid: int) -> bool:
    """Return true if every thread sleeps, at two looks: one look takes a while."""
    for _ in range(2):
        time.sleep(INTERVAL)
        if proc.states(pid) != {"S"}:
            return False
    return True


class Memcached:
    """A memcached process of the test's own."""

    def __init__(
        self,
        *,
        threads: int = 4,
        memory: int = 64,
        port: int | None = None,
        path: Path | None = None,
        arguments: tuple[str, ...] = (),
        binary: str | None = None,
    ) -> None:
        """Start it on a port, or at the path of a UNIX-domain socket; wait until it answers.

        `binary` is another memcached than the installed one.
        """
        self._binary = binary or shutil.which("memcached") or "memcached"
        self.port = port or free_port()
        self._port_is_given = port is not None or path is not None
        self.path = path
        self.threads = threads
        self._memory = memory
        self._arguments = arguments
        self._asked = self._answered = 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        for _ in range(STARTS - 1):
            if self._port_is_given:
                break
            with suppress(AssertionError):
                return self._spawn()
            self.port = free_port()
        return self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [self._binary]
        command += ["-s", str(self.path)] if self.path else ["-p", str(self.port), "-U", "0"]
        command += ["-t", str(self.threads), "-m", str(self._memory), *self._arguments]
        if os.geteuid() == 0:
            command += ["-u", "root"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(
                lambda: process.poll() is not None or self._answers(process.pid),
                "memcached answering",
            )
        except AssertionError:
            process.kill()
            raise
        if process.poll() is not None:
            raise AssertionError(f"memcached ended with {process.returncode}: {' '.join(command)}")
        return process

    def _answers(self, pid: int) -> bool:
        """Return true if this process answers, and no other that took the port before."""
        try:
            connection = StatsConnection(self.endpoint, timeout=1 * PATIENCE)
        except OSError:
            return False
        try:
            return connection.ask().get("pid") == str(pid)
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def reads_refused_values(self) -> bool:
        """True if it reads the value of a storage line whose key it refuses."""
        told = subprocess.run([self._binary, "-V"], capture_output=True, text=True, check=True)
        version = told.stdout.split()[1]
        return tuple(int(part) for part in version.split(".")) >= READS_REFUSED_VALUES

    @property
    def endpoint(self) -> int | Path:
        """Port, or path of the UNIX-domain socket."""
        return self.path or self.port

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    @property
    def address(self) -> str:
        """Address as `HOST:PORT`."""
        return f"127.0.0.1:{self.port}"

    def stats(self, group: str = "") -> dict[str, str]:
        """Return its counters, asked for on a connection of their own."""
        connection = StatsConnection(self.endpoint)
        try:
            return connection.ask(group)
        finally:
            connection.close()

    def watchers(self) -> set[str]:
        """Return the addresses of the clients that watch its log."""
        conns = self.stats("conns")
        ends = {name.removesuffix(":state") for name, told in conns.items() if told == "conn_watch"}
        return {conns[f"{end}:addr"] for end in ends}

    def wait_for_connections(self, count: int) -> None:
        """Wait until exactly `count` clients are connected.

        A connection counts until memcached has closed its end, and so has read everything.
        """
        until(lambda: self._clients() == count, f"{count} clients of memcached")

    def _clients(self) -> int:
        here = f":{self.port:04X}"
        rows = [row for row in proc.tcp_rows(self.pid) if row[1].endswith(here)]
        # Inode 0: not accepted yet. Read before the descriptors, so that a connection which is
        # accepted in between counts twice instead of never.
        waiting = sum(row[3] in (ESTABLISHED, CLOSE_WAIT) and row[9] == "0" for row in rows)
        listening = {row[9] for row in rows if row[3] == LISTEN}
        return waiting + len(proc.sockets(self.pid) - listening)

    def settled_stats(self) -> dict[str, str]:
        """Return its counters once all threads are idle, less the bytes of these questions.

        memcached counts a response after sending it, so a counter trails what the client has
        until the thread that sent it sleeps again.
        """
        connection = StatsConnection(self.endpoint)
        found: list[tuple[int, int]] = []
        while len(found) < 2 or found[-1] != found[-2]:
            until(lambda: is_idle(self.pid), "memcached being idle")
            counters = connection.ask()
            self._asked += len(STATS_REQUEST)
            read = int(counters["bytes_read"]) - self._asked
            found.append((read, int(counters["bytes_written"]) - self._answered))
            self._answered += connection.replies[-1]
        connection.close()
        read, written = found[-1]
        return counters | {"bytes_read": str(read), "bytes_written": str(written)}

    def freeze(self) -> None:
        """Stop every thread (SIGSTOP); all have stopped when this returns."""
        proc.stop(self.pid)

    def thaw(self) -> None:
        """Continue after `freeze` (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Terminate it, and kill it if that is not enough."""
        if self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(DEADLINE)

    def restart(self) -> None:
        """Stop it and start another on the same port."""
        self.stop()
        self._asked = self._answered = 0
        self._process = self._spawn()


@contextmanager
def memcached(**options: object) -> Iterator[Memcached]:
    """Start a memcached; stop it when the block ends."""
    server = Memcached(**options)  # type: ignore[arg-type]  # the keywords of Memcached
    try:
        yield server
    finally:
        server.stop()
