"""Clients that applications use, recorded while they work: complete, and as the server counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli import recorder
from support.counters import differing, expect_complete
from support.server import Memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached]

MANY = {f"many-{number}": f"value {number}" * (1 + number % 40) for number in range(200)}
LARGE = b"v" * 300_000


def with_pymemcache(port: int) -> None:
    """Use text, in one request a call and in one a batch, with and without `noreply`."""
    from pymemcache.client.base import Client, PooledClient  # noqa: PLC0415

    for client in (
        Client(("127.0.0.1", port)),
        Client(("127.0.0.1", port), default_noreply=False, no_delay=True),
        PooledClient(("127.0.0.1", port), max_pool_size=3),
    ):
        client.set_many(MANY)
        assert len(client.get_many(MANY)) == len(MANY)
        client.set("large", LARGE)
        assert client.get("large") == LARGE
        client.set("count", "5", noreply=False)
        client.incr("count", 3)
        client.decr("count", 1, noreply=False)
        client.incr("none", 1, noreply=False)
        assert client.get("none") is None
        client.add("many-1", "x", noreply=False)
        client.append("many-1", "x", noreply=False)
        _, token = client.gets("many-2")
        assert client.cas("many-2", "other", token)
        assert client.cas("many-2", "other", token) is False
        client.touch("many-3", 60, noreply=False)
        client.delete("many-4", noreply=False)
        client.delete("many-4", noreply=False)
        client.delete_many(["many-5", "many-6"])
        client.version()
        client.stats()
        client.flush_all(noreply=False)
        client.close()


def with_pylibmc(port: int, *, binary: bool) -> None:
    """Use libmemcached, whose binary multi-get and multi-set are quiet."""
    import pylibmc  # noqa: PLC0415

    behaviours = {"no_block": True, "tcp_nodelay": True, "cas": True}
    for extra in ({}, behaviours):
        client = pylibmc.Client([f"127.0.0.1:{port}"], binary=binary, behaviors=extra)
        assert client.set_multi(MANY) == []
        assert len(client.get_multi([*MANY, "none", "nothing"])) == len(MANY)
        client.set("large", LARGE)
        assert client.get("large") == LARGE
        assert client.get("none") is None
        client.set("count", 5)
        client.incr("count", 2)
        client.decr("count")
        client.add("count", 1)
        client.replace("count", 1)
        if not binary:  # libmemcached 1.0 waits forever for some answers to binary messages
            client.touch("count", 60)
            client.get_stats()
        if extra:
            _, token = client.gets("many-2")
            assert client.cas("many-2", "other", token)
        client.delete("many-4")
        client.delete("many-4")
        client.delete_multi(["many-5", "many-6", "none"])
        client.flush_all()
        client.disconnect_all()


def with_bmemcached(port: int) -> None:
    """Use binary messages, some of them quiet and ended by another request."""
    import bmemcached  # noqa: PLC0415

    client = bmemcached.Client((f"127.0.0.1:{port}",))
    assert client.set_multi(MANY) == []
    assert len(client.get_multi([*MANY, "none"])) == len(MANY)
    client.set("large", LARGE)
    assert client.get("large") == LARGE
    assert client.get("none") is None
    client.set("count", "5")
    client.incr("count", 2)
    client.decr("count", 1)
    client.add("count", 1)
    client.replace("count", "1")
    _, token = client.gets("many-2")
    assert client.cas("many-2", "other", token)
    client.delete("many-4")
    client.delete("many-4")
    client.delete_multi(["many-5", "none"])
    client.stats()
    client.flush_all()
    client.disconnect_all()


def with_aiomcache(port: int) -> None:
    """Use several connections at once from one thread."""
    import aiomcache  # noqa: PLC0415

    async def work(client: aiomcache.Client, number: int) -> None:
        key = b"key-%d" % number
        await client.set(key, b"value")
        assert await client.get(key) == b"value"
        assert await client.get(b"none-%d" % number) is None
        await client.multi_get(key, b"none", b"nothing")
        _, token = await client.gets(key)
        await client.cas(key, b"other", token or 0)
        await client.add(key, b"x")
        await client.replace(key, b"5")
        await client.incr(key, 2)
        await client.decr(key, 1)
        await client.append(key, b"x")
        await client.touch(key, 60)
        await client.delete(key)

    async def run() -> None:
        client = aiomcache.Client("127.0.0.1", port, pool_size=8)
        await client.set(b"large", LARGE)
        await asyncio.gather(*(work(client, number) for number in range(100)))
        await client.version()
        await client.stats()
        await client.flush_all()
        await client.close()

    asyncio.run(run())


CLIENTS: dict[str, Callable[[int], None]] = {
    "pymemcache": with_pymemcache,
    "pylibmc": lambda port: with_pylibmc(port, binary=False),
    "pylibmc, binary": lambda port: with_pylibmc(port, binary=True),
    "bmemcached": with_bmemcached,
    "aiomcache": with_aiomcache,
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_is_recorded_completely_and_as_the_server_counts(
    server: Memcached, output: Path, name: str
) -> None:
    pytest.importorskip(name.split(",", maxsplit=1)[0])
    before = server.stats()
    with recorder(output, [server.port]) as running:
        CLIENTS[name](server.port)
        ended = running.stop().expect(0).json
    apart = [one for one in ended["differences"] if one["server"] != one["recorded"]]
    assert apart == []
    assert ended["differences"]
    assert differing(output, before, server.stats()) == {}
    expect_complete(output)
