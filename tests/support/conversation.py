"""Clients in one network namespace and memcached in another, recorded in two ways at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cli import Recorder, recorder
from support.namespaces import CLIENT, SERVER, Pair, memcached_inside, wait_for_ends
from support.unique import key_file
from support.waiting import DEADLINE

#: Room for all traffic of a test: the recorder may have to wait for a CPU.
ROOM = ("--ring-size", "64M", "--max-memory", "none")
#: Name of the veth interface at both ends.
WIDE = "wide"

#: Program for the client's namespace: pipelines on each connection, one after the other opened.
#: Prints what memcached has counted, with the answer that says so.
_CLIENT = """
import json, sys
sys.path.insert(0, {tests!r})
from support.server import connect
from support.unique import UniqueTraffic
from support.workload import Connection, in_threads
connections = [Connection({port}, number, {server!r}) for number in range({count})]
traffic = [UniqueTraffic(connection, largest={largest}, every=2) for connection in connections]
in_threads([lambda one=one: [one.pipeline() for _ in range({pipelines})] for one in traffic])
with connect({port}, {server!r}) as asking:
    asking.sendall(b"stats\\r\\n")
    answer = b""
    while not answer.endswith(b"END\\r\\n"):
        answer += asking.recv(65536)
stats = dict(line.split()[1:3] for line in answer.decode().splitlines()[:-1])
print(json.dumps([int(stats["bytes_read"]), int(stats["bytes_written"]) + len(answer)]))
for connection in connections:
    connection.close()
"""


def converse(
    ends: Pair,
    port: int,
    largest: int,
    *,
    count: int = 3,
    pipelines: int = 12,
    address: str = SERVER,
) -> list[int]:
    """Run memcached and `count` connections to it, with values up to `largest`.

    Return the bytes that memcached read and wrote.
    """
    tests = str(Path(__file__).parents[1])
    script = _CLIENT.format(
        tests=tests, port=port, server=address, largest=largest, count=count, pipelines=pipelines
    )
    with memcached_inside(ends, port, address) as pid:
        client = [*ends.inside(ends.client), sys.executable, "-c", script]
        ended = subprocess.run(
            client, capture_output=True, text=True, check=False, timeout=2 * DEADLINE
        )
        assert ended.returncode == 0, ended.stderr
        wait_for_ends(pid, port)
    moved: list[int] = json.loads(ended.stdout)
    return moved


@contextmanager
def both(
    folder: Path, port: int, source: str, *options: str, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[Recorder, Recorder]]:
    """Record the sockets and an interface at once, with one key."""
    secret, _ = key_file(folder)
    common = ("--no-stats", "--wait", "--key-file", str(secret))
    packets = (folder / "packets.mb", [port], *common, *ROOM, *options)
    with (
        recorder(folder / "sockets.mb", [port], *common) as sockets,
        recorder(*packets, source=source, prefix=prefix) as interface,
    ):
        yield sockets, interface


def joined(ends: Pair) -> None:
    """Join the namespaces by a veth pair instead of their TUN devices."""
    peer = ("peer", "name", WIDE, "netns", ends.client)
    tell(ends.server, "link", "add", WIDE, "type", "veth", *peer)
    for namespace, address in ((ends.server, SERVER), (ends.client, CLIENT)):
        tell(namespace, "link", "set", "inner", "down")
        tell(namespace, "address", "flush", "dev", "inner")
        tell(namespace, "address", "add", f"{address}/24", "dev", WIDE)
        tell(namespace, "link", "set", WIDE, "up")


def tell(namespace: str, *words: str) -> None:
    """Run `ip` in a namespace."""
    command = ("ip", "-n", namespace, *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
