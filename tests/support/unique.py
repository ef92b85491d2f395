"""Traffic of unique operations, against which a recording with holes can be checked."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from support.oracle import KnownKeyIds, Log
from support.profile import Row
from support.requests import Exchange, change, read, store
from support.workload import Connection, value_of

#: Key size of connection 0. Connection n uses `NARROWEST + n`, so a key's size identifies it.
NARROWEST = 40


class UniqueTraffic:
    """Pipelines of sets, gets and deletes on one connection; no command repeats a key.

    A key determines the value's size, so a response paired with the wrong request shows.
    """

    def __init__(self, connection: Connection, *, largest: int = 2000, every: int = 8) -> None:
        """Use values up to 1,500 bytes, and one of `largest` bytes in every `every` pipelines."""
        self.connection = connection
        self._largest = largest
        self._every = every
        self._random = random.Random(connection.ordinal)
        self._pipelines = 0

    def _key(self, number: int) -> bytes:
        name = f"u{self.connection.ordinal}-{self._pipelines}-{number}-".encode()
        return name.ljust(NARROWEST + self.connection.ordinal, b"k")

    def _exchanges(self, number: int) -> list[Exchange]:
        key, absent = self._key(number), self._key(-number - 1)
        size = 1 + (self._pipelines * 131 + number * 17) % 1500
        if number == 0 and self._pipelines % self._every == 0:
            size = self._largest
        kept = [store("set", key, value_of(key, size)), read("get", [key]), read("get", [absent])]
        return [*kept, change("delete", key)] if self._random.random() < 0.3 else kept

    def pipeline(self, depth: int = 6) -> None:
        """Send one pipeline of about `3 * depth` requests and read its responses."""
        self.connection.perform(
            *(exchange for number in range(depth) for exchange in self._exchanges(number))
        )
        self._pipelines += 1

    @property
    def done(self) -> int:
        """Number of pipelines answered so far."""
        return self._pipelines

    def until(self, stop: threading.Event, pause: float) -> None:
        """Send pipelines with pauses of `pause` seconds until `stop` is set."""
        while not stop.wait(pause):
            self.pipeline()

    def events_in(self, recorded: dict[int, list[Row]]) -> list[Row]:
        """Return this connection's events, found by the size of its keys."""
        size = NARROWEST + self.connection.ordinal
        found = [rows for rows in recorded.values() if any(row["key_size"] == size for row in rows)]
        assert len(found) <= 1, (
            f"connection {self.connection.ordinal} was recorded as {len(found)} connections"
        )
        return found[0] if found else []

    def log(self, keys: KnownKeyIds) -> Log:
        """Return the log of this connection."""
        return Log(self.connection.log, keys)


def traffics(port: int, count: int, **options: int) -> list[UniqueTraffic]:
    """Open `count` connections with unique traffic."""
    return [UniqueTraffic(Connection(port, ordinal), **options) for ordinal in range(count)]


def key_file(folder: Path) -> tuple[Path, KnownKeyIds]:
    """Write a key file; return its path and the ids it gives."""
    secret = bytes(range(100, 116))
    path = folder / "ids.key"
    path.write_text(secret.hex() + "\n")
    path.chmod(0o600)
    return path, KnownKeyIds(secret)


class Background:
    """Traffic on threads of its own while a block runs; a failure there fails the block."""

    def __init__(self, traffic: list[UniqueTraffic], pause: float = 0) -> None:
        """Take the traffic, and the pause after each pipeline, s."""
        self._pause = pause
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in traffic]

    def _run(self, one: UniqueTraffic) -> None:
        try:
            one.until(self._stop, self._pause)
        except Exception as failure:  # raised again when the block ends
            self._failures.append(failure)

    def __enter__(self) -> Background:
        """Start."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and join the threads; raise the first failure."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
