"""A seed → traffic on a real memcached, and the client's log of every operation."""

from __future__ import annotations

import fcntl
import itertools
import random
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from support.replies import Reader
from support.requests import (
    Exchange,
    Operation,
    added_twice,
    change,
    meta,
    plain,
    quiet,
    read,
    refused_key,
    stats,
    store,
    together,
)
from support.server import connect
from support.waiting import until

#: Size of the first key of connection 0; connection n uses `MARKER + n`.
MARKER = 180
#: Value that a decoder which ignores lengths would take for requests or replies.
TRAP = b"\r\nEND\r\nget trapped-key\r\nSTORED\r\nVALUE trapped-key 0 5\r\nset trapped-key 0 0 4\r\n"
SIZES = (
    1,
    2,
    9,
    100,
    511,
    512,
    513,
    576,
    577,
    4096,
    16_383,
    16_384,
    16_385,
    65_535,
    65_537,
    300_000,
    1_000_000,
)


def value_of(key: bytes, size: int, *, traps: bool = False) -> bytes:
    """Return a value of `size` bytes that depends on its key alone."""
    pattern = b"value-of-" + key + (TRAP if traps else b"~")
    return (pattern * (size // len(pattern) + 1))[:size]


class Connection:
    """One client connection with its log and byte counts; closed when its test ends."""

    _open: ClassVar[list[Connection]] = []

    def __init__(
        self,
        endpoint: int | Path,
        ordinal: int,
        host: str = "127.0.0.1",
        *,
        reads_refused_values: bool | None = None,
    ) -> None:
        """Connect to a port, or to the path of a UNIX-domain socket.

        `reads_refused_values` is None if the version is unknown: then no refused key is sent.
        """
        self.ordinal = ordinal
        self.reads_refused_values = reads_refused_values
        self.log: list[Operation] = []
        self.sent_bytes = 0
        self._endpoint = endpoint
        self._requests = 0
        self._flights = 0
        self._socket = connect(endpoint, host)
        if isinstance(endpoint, int):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._table = Path("/proc/net/tcp6" if ":" in host else "/proc/net/tcp")
        self._reader = Reader(self._socket)
        Connection._open.append(self)

    def mark(self) -> None:
        """Ask for a key whose size names this connection, before anything else."""
        self.perform(read("get", [b"m" * (MARKER + self.ordinal)]))

    def perform(self, *exchanges: Exchange, cuts: Sequence[int] = ()) -> None:
        """Send in one write, or cut, each piece once the last was read; then read the responses."""
        exchange = exchanges[0] if len(exchanges) == 1 else together(exchanges)
        self._note(exchange)
        bounds = [0, *cuts, len(exchange.data)]
        for start, end in itertools.pairwise(bounds):
            self._socket.sendall(exchange.data[start:end])
            if end < len(exchange.data):
                until(self._was_read, "the first piece being read")
        self.sent_bytes += len(exchange.data)
        exchange.settle(self._reader)
        answered = time.monotonic()
        for operation in exchange.operations:
            operation.answered = answered

    def send(self, data: bytes) -> None:
        """Send bytes without logging an operation."""
        self._socket.sendall(data)

    def _note(self, exchange: Exchange) -> None:
        for request in exchange.requests:
            for operation in request:
                operation.connection = self.ordinal
                operation.request = self._requests
                operation.flight = self._flights
                self.log.append(operation)
            self._requests += 1
        self._flights += 1

    def _was_read(self) -> bool:
        """Return true if the server has read everything: both queues are empty."""
        queued = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        if struct.unpack("i", queued)[0]:
            return False
        if not isinstance(self._endpoint, int):  # the send queue includes what the peer has to read
            return True
        here = f":{self._socket.getsockname()[1]:04X}"
        for row in self._table.read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = row.split()
            if local.endswith(f":{self._endpoint:04X}") and remote.endswith(here):
                return int(queues.split(":")[1], 16) == 0
        return False

    @property
    def reader(self) -> Reader:
        """Reader of the responses."""
        return self._reader

    @property
    def received_bytes(self) -> int:
        """Bytes of all responses read."""
        return self._reader.consumed

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    @classmethod
    def close_all(cls) -> None:
        """Close every open connection."""
        while cls._open:
            cls._open.pop().close()


class Mixture:
    """Operations of one connection on keys of its own, chosen by a seed."""

    def __init__(self, connection: Connection, seed: int, *, traps: bool = True) -> None:
        """Choose the keys; nothing is sent yet."""
        self._connection = connection
        self._random = random.Random(f"{seed}/{connection.ordinal}")
        self._traps = traps
        self._keys = [self._key(number) for number in range(300)]

    def _key(self, number: int, size: int | None = None) -> bytes:
        name = f"membench-key-{self._connection.ordinal}-{number}-".encode()
        return name.ljust(size or len(name) + self._random.randrange(40), b"k")

    def _some(self, count: int = 1) -> list[bytes]:
        return self._random.choices(self._keys, k=count)

    def _one(self) -> bytes:
        return self._random.choice(self._keys)

    def _value(self, key: bytes) -> bytes:
        return value_of(key, int(10 ** self._random.uniform(0, 4.2)), traps=self._traps)

    def _set(self, key: bytes, **options: int) -> Exchange:
        return store("set", key, self._value(key), **options)

    def run(self, steps: int) -> None:
        """Perform each special case once, then `steps` random steps."""
        for special in (
            self._fill,
            self._sizes,
            self._refusals,
            self._long_keys,
            self._counters,
            self._cas,
            self._wins,
            self._twice,
        ):
            special()
        ordinary: list[Callable[[], None]] = [
            self._pipeline,
            self._many,
            self._cut,
            self._expiry,
            self._conditional,
            self._removals,
            self._meta,
            self._quiet,
            self._silent,
        ]
        for _ in range(steps):
            self._random.choice(ordinary)()

    def _fill(self) -> None:
        for key in self._keys[::2]:
            self._connection.perform(self._set(key, noreply=True), read("get", [key]))

    def _sizes(self) -> None:
        for number, size in enumerate(SIZES):
            key = self._key(1000 + number)
            self._connection.perform(
                store("set", key, value_of(key, size, traps=self._traps), flags=size)
            )
            self._connection.perform(read("get", [key]))
        self._connection.perform(plain("version"))

    def _refusals(self) -> None:
        key = self._one()
        self._connection.perform(
            store("set", key, value_of(key, 1 << 20, traps=self._traps)), read("get", [key])
        )
        reads_value = self._connection.reads_refused_values
        if reads_value is not None:
            refused = refused_key(b"k" * 251, b"refused-value", reads_value=reads_value)
            self._connection.perform(refused, self._set(key))
        self._connection.perform(
            plain("other", b"no-such-command"), plain("verbosity", b"verbosity 0")
        )

    def _long_keys(self) -> None:
        keys = [self._key(2000 + number, size=250) for number in range(100)]
        for key in keys[::2]:
            self._connection.perform(self._set(key, noreply=True), read("get", [key]))
        exchange = read("get", keys)
        self._connection.perform(exchange, cuts=[len(exchange.data) // 2])

    def _counters(self) -> None:
        key, missing = self._key(3000), self._key(3001)
        self._connection.perform(
            store("set", key, b"41"), change("incr", key, 1), change("decr", key, 40)
        )
        self._connection.perform(
            change("incr", key, 7, noreply=True), change("incr", missing, 1), read("get", [key])
        )
        self._connection.perform(
            meta("ma", key, "D5 t v"), meta("ma", missing, "v"), meta("ma", missing, "N60 J13 v")
        )
        self._connection.perform(meta("ma", key, "MD D3"), read("get", [key]))

    def _cas(self) -> None:
        key = self._key(3002)
        seen = read("gets", [key])
        self._connection.perform(self._set(key), seen)
        token = seen.operations[0].cas or 0
        for _ in range(2):  # the first changes the cas value, so the second fails
            self._connection.perform(store("cas", key, self._value(key), cas=token))
        self._connection.perform(store("cas", self._key(3003), b"absent", cas=token))

    def _wins(self) -> None:
        key = self._key(3004)
        for flags in ("N30 v t", "v t", "s v"):
            self._connection.perform(meta("mg", key, flags))
        self._connection.perform(
            meta("ms", key, "T90", b"filled"), meta("mg", key, "v"), meta("md", key, "I T30")
        )
        for _ in range(2):  # the first reader of a stale item is told to refill it
            self._connection.perform(meta("mg", key, "v"))
        self._connection.perform(meta("me", key), meta("me", self._key(3005)))

    def _twice(self) -> None:
        for _ in range(2):
            self._connection.perform(added_twice(self._key(3006), b"added"))

    def _pipeline(self) -> None:
        self._connection.perform(
            *(
                self._set(key) if self._random.random() < 0.2 else read("get", [key])
                for key in self._some(20)
            )
        )

    def _many(self) -> None:
        self._connection.perform(read(self._random.choice(["get", "gets"]), self._some(100)))

    def _cut(self) -> None:
        exchange = self._random.choice(
            [self._set(self._one()), read("get", self._some(3)), change("delete", self._one())]
        )
        places = range(1, len(exchange.data))
        self._connection.perform(
            exchange, cuts=sorted(self._random.sample(places, k=min(2, len(places))))
        )

    def _expiry(self) -> None:
        self._connection.perform(
            self._set(self._one(), exptime=900), change("touch", self._one(), 600)
        )
        self._connection.perform(
            read(self._random.choice(["gat", "gats"]), self._some(5), exptime=1200)
        )

    def _conditional(self) -> None:
        command = self._random.choice(["add", "replace", "append", "prepend"])
        key = self._one()
        self._connection.perform(store(command, key, b"conditional"), read("get", [key]))

    def _removals(self) -> None:
        self._connection.perform(
            *(change("delete", key, noreply=key[-1:] == b"-") for key in self._some(5))
        )

    def _meta(self) -> None:
        key, other = self._some(2)
        mode = self._random.choice(["MS", "ME", "MA", "MP", "MR"])
        self._connection.perform(
            meta("ms", key, f"{mode} T600 c Oab", b"meta-value"), meta("mg", key, "k f v Oxyz")
        )
        self._connection.perform(meta("mg", other, "t s v k"), meta("md", other), plain("mn"))
        binary = bytes([0, 255]) + key
        self._connection.perform(
            meta("ms", binary, "b T600", self._value(key)),
            meta("mg", binary, "b v k"),
            meta("mg", other, "b v"),
        )

    def _quiet(self) -> None:
        gets = [("mg", key, "k v", None) for key in self._some(10)]
        sets = [("ms", key, "T300", self._value(key)) for key in self._some(3)]
        gone = [("md", key, "", None) for key in self._some(2)]
        parts: list[tuple[str, bytes, str, bytes | None]] = [*gets, *sets, *gone]
        self._random.shuffle(parts)
        self._connection.perform(quiet(parts))

    def _silent(self) -> None:
        key = self._one()
        self._connection.perform(
            self._set(key, noreply=True), change("touch", key, 50, noreply=True), read("get", [key])
        )


def in_threads(work: Iterable[Callable[[], None]]) -> None:
    """Run each callable on a thread of its own; raise the first exception."""
    failures: list[BaseException] = []

    def guarded(step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(step,)) for step in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def poll_stats(connection: Connection, stop: threading.Event, interval: float = 1.0) -> None:
    """Ask for `stats` at once and then every `interval` seconds until `stop` is set."""
    while True:
        connection.perform(stats())
        if stop.wait(interval):
            return
