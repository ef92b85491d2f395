"""Seed → cache-aside traffic on a memcached: Zipf keys, filled misses, bursts of keys."""

from __future__ import annotations

import itertools
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from membench import _arguments as check

KEYS = 20_000
_ALPHA = 0.99
_TTLS = (0, 60, 300, 3600)
_COMMANDS = ("get", "multiget", "set", "delete", "incr", "touch")
_WEIGHTS = (72, 10, 10, 2, 4, 2)


@dataclass(frozen=True, slots=True)
class Load:
    """The amount of traffic, as Poisson arrivals.

    Attributes:
        connections: Connections that share the load.
        requests_per_s: Requests per second over all connections.
        duration_s: Duration, s.
        seed: Seed of keys, commands and arrival times.
    """

    connections: int = 8
    requests_per_s: float = 3000.0
    duration_s: float = 5.0
    seed: int = 1

    def __post_init__(self) -> None:
        check.seconds("the duration of a workload", self.duration_s)


def run(port: int, load: Load) -> int:
    """Send the workload to 127.0.0.1 and return the number of answered requests."""
    answered = [0] * load.connections
    workers = [
        threading.Thread(target=_work, args=(port, load, index, answered))
        for index in range(load.connections)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(answered)


def _work(port: int, load: Load, index: int, answered: list[int]) -> None:
    chance = random.Random(load.seed * 1000 + index)  # noqa: S311 - traffic, not secrets
    with Client(port) as client:
        for request in _paced(load, chance):
            answered[index] += _send(client, request, chance)


def _paced(load: Load, chance: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Yield each (command, keys) when it is due, on an absolute schedule."""
    keys = _zipf_keys(chance)
    due = start = time.monotonic()
    while True:
        due += chance.expovariate(load.requests_per_s / load.connections)
        if due - start > load.duration_s:
            return
        time.sleep(max(0.0, due - time.monotonic()))
        (command,) = chance.choices(_COMMANDS, _WEIGHTS)
        wanted = chance.randint(2, 24) if command == "multiget" else 1
        yield command, list(itertools.islice(keys, wanted))


def _zipf_keys(chance: random.Random) -> Iterator[str]:
    weights = list(itertools.accumulate(1 / rank**_ALPHA for rank in range(1, KEYS + 1)))
    while True:
        for rank in chance.choices(range(KEYS), cum_weights=weights, k=1000):
            yield f"user:{rank * 7919 % KEYS}:{'profile' if rank % 3 else 'session:settings'}"


def _send(client: Client, request: tuple[str, list[str]], chance: random.Random) -> int:
    """Send one request and the follow-ups of a cache-aside client; return their number."""
    command, keys = request
    match command:
        case "get" | "multiget":
            missing = client.get(keys)
            for key in missing:
                client.set(key, _value_size(chance), chance.choice(_TTLS))
            return 1 + len(missing)
        case "set":
            client.set(keys[0], _value_size(chance), chance.choice(_TTLS))
        case "delete":
            client.ask(f"delete {keys[0]}")
        case "touch":
            client.ask(f"touch {keys[0]} {chance.choice(_TTLS)}")
        case "incr":
            return client.count(f"hits:{keys[0]}")
    return 1


def _value_size(chance: random.Random) -> int:
    return min(16_000, int(chance.lognormvariate(5.4, 1.0)) + 1)


class Client:
    """A small blocking memcached client: one connection, the text protocol."""

    def __init__(self, port: int) -> None:
        """Connect to 127.0.0.1."""
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self._replies.close()
        self._socket.close()

    def ask(self, line: str, value: bytes | None = None) -> bytes:
        """Send a command and return the first line of its answer."""
        body = b"" if value is None else value + b"\r\n"
        self._socket.sendall(line.encode() + b"\r\n" + body)
        return self._replies.readline()

    def get(self, keys: Sequence[str]) -> list[str]:
        """Get several keys in one request and return those that missed."""
        reply = self.ask("get " + " ".join(keys))
        found = set()
        while reply.startswith(b"VALUE "):
            _, key, _, length = reply.split()
            self._replies.read(int(length) + len(b"\r\n"))
            found.add(key.decode())
            reply = self._replies.readline()
        return [key for key in dict.fromkeys(keys) if key not in found]

    def set(self, key: str, size: int, ttl: int) -> None:
        """Store a value of `size` bytes."""
        self.ask(f"set {key} 0 {ttl} {size}", b"x" * size)

    def count(self, key: str) -> int:
        """Increment a counter, created on first use; return the number of requests it took."""
        if self.ask(f"incr {key} 1") != b"NOT_FOUND\r\n":
            return 1
        self.ask(f"add {key} 0 0 1", b"1")
        return 2
