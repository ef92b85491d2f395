"""A seed → traffic in the binary protocol beside text, and a log of every operation."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from support.binary import (
    Part,
    ask,
    count,
    extend,
    fetch,
    store,
    together,
    touch,
)
from support.cli import recorder
from support.mixed import Mixed
from support.requests import plain
from support.server import Memcached
from support.workload import MARKER, SIZES, Connection, Mixture, in_threads, value_of

#: Value that a decoder which ignores lengths would take for messages or lines.
TRAPS = bytes([0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]) + b"\r\nEND\r\nget k\r\n" + bytes([0x81, 0])
SECRET = b"\0somebody\0secret-of-somebody"
STEPS = 60
CONNECTIONS = 6


def mark(connection: Connection) -> None:
    """Ask for a key whose size names the connection, before anything else."""
    connection.perform(together(fetch("get", b"m" * (MARKER + connection.ordinal))))


class BinaryMixture:
    """Operations of one binary connection on keys of its own, chosen by a seed."""

    def __init__(self, connection: Connection, seed: int) -> None:
        """Choose the keys; nothing is sent yet."""
        self._connection = connection
        self._random = random.Random(f"binary/{seed}/{connection.ordinal}")
        self._keys = [self._key(number) for number in range(200)]
        self._opaque = 0
        self.parts: list[Part] = []

    def _key(self, number: int, size: int | None = None) -> bytes:
        name = b"binary key \x80\r\n%d-%d-" % (self._connection.ordinal, number)
        return name.ljust(size or len(name) + self._random.randrange(40), b"\xff")

    def _one(self) -> bytes:
        return self._random.choice(self._keys)

    def _value(self, key: bytes) -> bytes:
        size = int(10 ** self._random.uniform(0, 4.2)) - 1
        return (TRAPS + value_of(key, size))[:size]

    def _do(self, *parts: Part, cuts: list[int] | None = None) -> None:
        self.parts += parts
        self._connection.perform(together(*parts), cuts=cuts or [])

    def _next(self) -> int:
        self._opaque += 1
        return self._opaque

    def run(self, steps: int) -> None:
        """Perform each special case once, then `steps` random steps."""
        for special in (
            self._fill,
            self._sizes,
            self._refusals,
            self._counters,
            self._cas,
            self._twice,
            self._answers_without_key,
        ):
            special()
        ordinary: list[Callable[[], None]] = [
            self._pipeline,
            self._many,
            self._quiet,
            self._conditional,
            self._expiry,
            self._cut,
            self._administration,
        ]
        for _ in range(steps):
            self._random.choice(ordinary)()

    def _fill(self) -> None:
        for key in self._keys[::2]:
            self._do(store("set", key, self._value(key), quiet=True), fetch("get", key))

    def _sizes(self) -> None:
        for number, size in enumerate((0, *SIZES)):
            key = self._key(1000 + number, size=250 if number % 2 else None)
            self._do(store("set", key, value_of(key, size), flags=size))
            self._do(fetch("get", key), fetch("getk", key), touch("gatk", key, 60))

    def _refusals(self) -> None:
        key = self._one()
        large = value_of(key, 1 << 20)
        self._do(store("set", key, large), fetch("get", key))
        self._do(store("set", key, large, quiet=True), extend("append", key, large), ask("noop"))
        self._do(ask("range_get"), ask("verbosity"), ask("sasl_list"), ask("noop"))
        self._do(ask("sasl_auth", b"PLAIN", value=SECRET), ask("noop"))
        self._do(ask("sasl_step", b"PLAIN", value=SECRET), fetch("get", key))
        # memcached has read this body and then discards as many bytes again.
        unknown = ask("range_get", b"key")
        unknown.data += b"\x80\x80\x80"
        unknown.operation.request_size = len(unknown.data)
        self._do(unknown, ask("noop"))

    def _counters(self) -> None:
        key, other, missing = (self._key(number) for number in (3000, 3001, 3002))
        self._do(count("incr", key, 1, initial=41, ttl=900), count("incr", key, 1))
        self._do(count("decr", key, 50), count("decr", other, 1, initial=7, ttl=0))
        self._do(count("incr", missing, 1), count("decr", missing, 1, quiet=True), ask("noop"))
        self._do(count("incr", other, 1, quiet=True), fetch("get", other))

    def not_numeric(self) -> None:
        """Increment a value that is no number.

        Not for replays: those store a number under every key that is ever incremented.
        """
        key = self._key(3008)
        self._do(store("set", key, b"no number"), count("incr", key, 1, quiet=True), ask("noop"))
        self._do(count("decr", key, 1))

    def _cas(self) -> None:
        key, missing = self._key(3003), self._key(3004)
        first = store("set", key, b"one")
        self._do(first, fetch("get", key))
        token = first.operation.cas or 0
        for name in ("set", "replace", "add"):  # the first one changes the cas value
            self._do(store(name, key, b"two", cas=token))
        self._do(store("set", missing, b"absent", cas=token))
        self._do(ask("delete", key, cas=token), extend("append", key, b"x", cas=token))
        now = fetch("get", key)
        self._do(now)
        self._do(ask("delete", key, cas=now.operation.cas or 0), fetch("getk", key))

    def _twice(self) -> None:
        key = self._key(3005)
        parts = [store("add", key, b"added", quiet=True) for _ in range(2)]
        for part in parts:
            part.operation.settled = False
        self._do(*parts, ask("noop"))
        parts[0].operation.outcome, parts[1].operation.outcome = "suppressed", "not_stored"

    def _answers_without_key(self) -> None:
        empty = self._key(3006)
        self._do(store("set", empty, b""))
        quiet = [fetch("getk", empty, quiet=True, opaque=self._next()) for _ in range(3)]
        self._do(*quiet, fetch("getk", self._key(3007)), fetch("getk", empty))

    def _pipeline(self) -> None:
        parts = []
        for _ in range(20):
            key, opaque = self._one(), self._next()
            stores = self._random.random() < 0.2
            parts.append(
                store("set", key, self._value(key), opaque=opaque)
                if stores
                else fetch(self._random.choice(["get", "getk"]), key, opaque=opaque)
            )
        self._do(*parts)

    def _many(self) -> None:
        keys = self._random.sample(self._keys, k=50)
        if self._random.random() < 0.5:
            parts = [fetch("getk", key, quiet=True) for key in keys]
        else:
            name = self._random.choice(["get", "getk"])
            parts = [fetch(name, key, quiet=True, opaque=self._next()) for key in keys]
        self._do(*parts, ask("noop"))

    def _quiet(self) -> None:
        parts = []
        for key in self._random.sample(self._keys, k=8):
            options = {"quiet": True, "opaque": self._next()}
            value = self._value(key)
            parts.append(
                self._random.choice(
                    [
                        store("set", key, value, **options),
                        store("add", key, value, **options),
                        store("replace", key, value, **options),
                        extend("append", key, b"x", **options),
                        extend("prepend", key, b"x", **options),
                        ask("delete", key, **options),
                        touch("gat", key, 600, **options),
                        touch("gatk", key, 600, **options),
                        count("incr", self._key(3001), 1, initial=3, ttl=0, **options),
                    ]
                )
            )
        self._do(*parts, ask("noop", opaque=self._next()))

    def _conditional(self) -> None:
        key = self._one()
        store_name = self._random.choice(["add", "replace"])
        extend_name = self._random.choice(["append", "prepend"])
        self._do(store(store_name, key, b"conditional"), extend(extend_name, key, b"more"))
        self._do(fetch("get", key), ask("delete", self._one()))

    def _expiry(self) -> None:
        self._do(store("set", self._one(), b"expires", ttl=900), touch("touch", self._one(), 600))
        self._do(touch("gat", self._one(), 1200), touch("gatk", self._one(), 1200))

    def _cut(self) -> None:
        key = self._one()
        part = self._random.choice([store("set", key, self._value(key)), fetch("getk", key)])
        places = range(1, len(part.data))
        self._do(part, cuts=sorted(self._random.sample(places, k=min(2, len(places)))))

    def _administration(self) -> None:
        self._do(
            self._random.choice(
                [ask("stats"), ask("stats", b"settings"), ask("version"), ask("noop")]
            ),
            ask("stats", b"no such statistics"),
        )


def perform_binary(
    connections: list[Connection], seed: int, *, replayable: bool
) -> list[BinaryMixture]:
    """Run the workload: the last connection speaks text, all others binary."""
    *binary, text = connections
    mixtures = [BinaryMixture(one, seed) for one in binary]
    for connection in binary:
        mark(connection)
        if not replayable:
            mixtures[connection.ordinal].not_numeric()
    text.mark()
    text.perform(plain("version"))  # the decoder must know the version before a line is refused
    work = [lambda one=one: one.run(STEPS) for one in mixtures]
    in_threads([*work, lambda: Mixture(text, seed).run(STEPS // 4)])
    return mixtures


def record_binary(
    server: Memcached, profile: Path, *options: str, seed: int = 1, replayable: bool = False
) -> tuple[Mixed, list[BinaryMixture]]:
    """Record the workload; the first connection is opened before the recording."""
    told = "--responses" not in options  # only responses tell the decoder the server's version
    refused = server.reads_refused_values if told else None
    opened_before = Connection(server.port, 0)
    before = server.settled_stats()
    with recorder(profile, [server.port], "--no-stats", *options) as running:
        others = [
            Connection(server.port, ordinal, reads_refused_values=refused)
            for ordinal in range(1, CONNECTIONS)
        ]
        connections = [opened_before, *others]
        mixtures = perform_binary(connections, seed, replayable=replayable)
        recording = running.stop()
    mixed = Mixed(profile, connections, before, server.settled_stats(), recording)
    for connection in connections:
        connection.close()
    return mixed, mixtures
