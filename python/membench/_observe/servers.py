"""/proc and `stats` → what a server's threads and commands did, without privileges."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from membench._doctor.host import (
    Listener,
    find_process,
    parse_listeners,
    parse_statistics,
    whole_number,
)
from membench._observe.results import ObservedServer, ServerThread
from membench._observe.tcp import TcpWatch

PROC = Path("/proc")
# memcached's own port.
DEFAULT_PORT = 11211
# State of a listening socket in /proc/net/tcp.
_LISTEN = "0A"
_LAST_PORT = (1 << 16) - 1
# Longest wait for an answer to `stats`, s.
_PATIENCE_S = 1.0
# Bytes of an answer, several times what memcached's has.
_LONGEST_ANSWER = 1 << 18
# Names that newer releases of memcached give their threads, and what each does.
ROLES = {
    "mc-worker": "worker",
    "mc-lrumaint": "lru maintainer",
    "mc-slabmaint": "slab maintainer",
    "mc-assocmaint": "hash expansion",
    "mc-itemcrawler": "crawler",
    "mc-log": "logger",
    "mc-idletimeout": "idle timeout",
    "mc-ext-io": "extstore",
    "mc-ext-bgio": "extstore",
    "mc-ext-write": "extstore",
    "mc-ext-compact": "extstore",
}
# Counters that only grow, but for `stats reset`.
COUNTERS = (
    "cmd_get",
    "cmd_set",
    "cmd_touch",
    "cmd_meta",
    "get_hits",
    "get_misses",
    "bytes_read",
    "bytes_written",
    "total_connections",
    "rejected_connections",
    "listen_disabled_num",
    "conn_yields",
    "evictions",
)


@dataclass(frozen=True, slots=True)
class _Thread:
    name: str
    cpu_ns: int
    waited_ns: int
    sleeps: int
    preemptions: int
    minor_faults: int
    major_faults: int


class ServerWatch:
    """A server that is looked at again and again."""

    def __init__(
        self,
        port: int,
        on_connect: Callable[[str, int], object] | None = None,
        *,
        asks: bool = True,
    ) -> None:
        """Find the server that listens on a port of this machine.

        Args:
            port: The port.
            on_connect: Called with the local end of each connection to it, before it is used.
            asks: Ask it for its counters.
        """
        self.port = port
        self._on_connect = on_connect
        self._asks = asks
        self.process: int | None = None
        self._connection: socket.socket | None = None
        self._listeners: list[Listener] = []
        self._statistics: dict[str, str] = {}
        self._asked_s = 0.0
        self._find()
        self._threads = self._read_threads()
        self._tcp = TcpWatch(port)

    def _find(self) -> None:
        """Find the server that listens now, and ask it for its counters.

        One that neither answers nor shows this user its sockets is the same as before if it lives.
        """
        self._listeners = _listeners(self.port)
        self._ask()
        inodes = {one.inode for one in self._listeners}
        found = (find_process(inodes) if inodes else None) or self._told_process()
        is_alive = self.process is not None and (PROC / str(self.process)).exists()
        self.process = found or (self.process if is_alive else None)

    @property
    def is_there(self) -> bool:
        """True if a server listens on the port, or answers there."""
        return bool(self._listeners or self._statistics)

    def take(self) -> ObservedServer:
        """Return what the server did since the last call.

        A server that was started again is found again; its counters grow from the next call on.
        """
        known, process, asked_s = self._statistics, self.process, self._asked_s
        if not self._is_same():
            self._find()
        if self.process != process or known.get("pid") != self._statistics.get("pid"):
            known = {}
        before, self._threads = self._threads, self._read_threads()
        threads = [
            _difference(number, now, before.get(number)) for number, now in self._threads.items()
        ]
        threads.sort(key=lambda thread: (-thread.cpu_ns, thread.thread))
        counters = dict(_growth(known, self._statistics))
        tcp = self._tcp.take()
        counted_s = self._asked_s - asked_s if counters else None
        return ObservedServer(self.port, self.process, tuple(threads), counters, tcp, counted_s)

    def _is_same(self) -> bool:
        """Return true if the server is still there: if it answers, or lives if it is not asked."""
        if self._asks:
            return self._connection is not None and self._ask()
        return self.process is not None and (PROC / str(self.process)).exists()

    def close(self) -> None:
        """Close the connection to the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self) -> bool:
        """Ask for the server's counters; return False if it has closed the connection.

        There are no counters if it does not answer in time.
        """
        self._statistics = {}
        asked_s = time.monotonic()
        if not self._asks:
            return True
        try:
            if self._connection is None:
                address = self._listeners[0].address if self._listeners else "127.0.0.1"
                self._connection = socket.create_connection((address, self.port), _PATIENCE_S)
                if self._on_connect is not None:
                    self._on_connect(*self._connection.getsockname()[:2])
            self._connection.sendall(b"stats\r\n")
            reply = bytearray()
            while not reply.endswith((b"END\r\n", b"ERROR\r\n")):
                received = self._connection.recv(65536)
                if not received or len(reply) > _LONGEST_ANSWER:
                    raise ConnectionError
                reply += received
        except OSError as error:
            self.close()
            return isinstance(error, TimeoutError)
        # The server read its counters at some time between question and answer.
        self._asked_s = (asked_s + time.monotonic()) / 2
        self._statistics = parse_statistics(reply.decode("latin-1"))
        return True

    def _told_process(self) -> int | None:
        """Return the process that the server says it is, unless it lives in another namespace."""
        pid = whole_number(self._statistics.get("pid"))
        with suppress(OSError):
            if pid and (PROC / str(pid) / "comm").read_text().strip() == "memcached":
                return pid
        return None

    def _read_threads(self) -> dict[int, _Thread]:
        found: dict[int, _Thread] = {}
        with suppress(OSError):
            for folder in (PROC / str(self.process) / "task").iterdir():
                thread = _read_thread(folder)
                if thread is not None:
                    found[int(folder.name)] = thread
        return found


def _growth(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for name in COUNTERS:
        first, last = whole_number(before.get(name)), whole_number(now.get(name))
        if first is not None and last is not None:
            yield name, max(last - first, 0)


def listening_ports(process: int) -> set[int]:
    """Return the ports on which a process listens, as far as this user sees them."""
    inodes = set()
    with suppress(OSError):
        for descriptor in (PROC / str(process) / "fd").iterdir():
            with suppress(OSError):
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    ports = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / str(process) / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and fields[9] in inodes:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def process_at(port: int) -> int | None:
    """Return the process that listens on a port; None if this user sees none."""
    inodes = {one.inode for one in _listeners(port)}
    return find_process(inodes) if inodes else None


def local_port(target: str) -> int | None:
    """Return the port of `HOST:PORT` if the host is this machine; None of any other target."""
    host, colon, text = target.rpartition(":")
    port = whole_number(text)
    if not colon or not host or port is None or port > _LAST_PORT:
        return None
    with suppress(OSError, UnicodeError):
        for family, kind, _, _, address in socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM
        ):
            # Only an address of this machine can be bound to.
            with suppress(OSError), socket.socket(family, kind) as probe:
                probe.bind((address[0], 0))
                return port
    return None


def _listeners(port: int) -> list[Listener]:
    found: list[Listener] = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            found += parse_listeners((PROC / "net" / table).read_text(), port)
    return found


def _read_thread(folder: Path) -> _Thread | None:
    """Read a thread's counters; None if it has ended."""
    try:
        name, _, rest = (folder / "stat").read_text(errors="replace").rpartition(") ")
        status = (folder / "status").read_text(errors="replace")
        schedule = [int(word) for word in (folder / "schedstat").read_text().split()]
    except (OSError, ValueError):
        return None
    fields = rest.split()
    # Fields of /proc/PID/stat, counted from the state: minflt and majflt.
    minor, major = int(fields[7]), int(fields[9])
    switches = {
        line.split(":")[0]: int(line.split()[1])
        for line in status.splitlines()
        if line.startswith(("voluntary_ctxt", "nonvoluntary_ctxt"))
    }
    cpu, waited = schedule[:2] if len(schedule) > 1 else (0, 0)
    return _Thread(
        name=name.partition("(")[2],
        cpu_ns=cpu,
        waited_ns=waited,
        sleeps=switches.get("voluntary_ctxt_switches", 0),
        preemptions=switches.get("nonvoluntary_ctxt_switches", 0),
        minor_faults=minor,
        major_faults=major,
    )


def _difference(number: int, now: _Thread, before: _Thread | None) -> ServerThread:
    if before is None:
        before = _Thread(now.name, 0, 0, 0, 0, 0, 0)
    return ServerThread(
        thread=number,
        name=now.name,
        role=ROLES.get(now.name, "unknown"),
        cpu_ns=now.cpu_ns - before.cpu_ns,
        waited_ns=now.waited_ns - before.waited_ns,
        sleeps=now.sleeps - before.sleeps,
        preemptions=now.preemptions - before.preemptions,
        minor_faults=now.minor_faults - before.minor_faults,
        major_faults=now.major_faults - before.major_faults,
    )


def watch_all(
    ports: Sequence[int],
    on_connect: Callable[[str, int], object] | None = None,
    *,
    asks: bool = True,
) -> list[ServerWatch]:
    """Watch the servers on some ports; those that are the same process once."""
    found: list[ServerWatch] = []
    seen: set[int] = set()
    for port in ports:
        watch = ServerWatch(port, on_connect, asks=asks)
        if watch.process is not None and watch.process in seen:
            watch.close()
            continue
        if watch.process is not None:
            seen.add(watch.process)
        found.append(watch)
    return found
