"""The mixed workload on a recorded memcached: its log, memcached's counters, the profile."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support.cli import Completed, read_info, recorder
from support.profile import Row, by_connection, events
from support.requests import stats
from support.server import Memcached
from support.waiting import PATIENCE
from support.workload import Connection, Mixture, in_threads, poll_stats

CONNECTIONS = 8
#: On an emulated machine fewer steps take as long.
STEPS = 100 if PATIENCE == 1 else 30
#: Counters of memcached that count data commands.
COUNTERS = ("cmd_get", "cmd_set", "cmd_touch", "cmd_meta")
OUTCOME_COUNTERS = {
    "delete": ("delete_hits", "delete_misses"),
    "incr": ("incr_hits", "incr_misses"),
    "decr": ("decr_hits", "decr_misses"),
    "cas": ("cas_hits", "cas_misses", "cas_badval"),
    "get": ("get_hits", "get_misses"),
    "touch": ("touch_hits", "touch_misses"),
}


@dataclass(frozen=True, slots=True)
class Mixed:
    """What the clients did, what memcached counted, and what the profile holds."""

    profile: Path
    connections: list[Connection]
    before: dict[str, str]
    after: dict[str, str]
    recording: Completed

    def moved(self, counter: str) -> int:
        """By how much one of memcached's counters changed."""
        return int(self.after[counter]) - int(self.before[counter])

    @property
    def request_bytes(self) -> int:
        """What memcached says it read."""
        return self.moved("bytes_read")

    @property
    def response_bytes(self) -> int:
        """What memcached says it wrote."""
        return self.moved("bytes_written")

    @property
    def events(self) -> dict[int, list[Row]]:
        """The profile's events by connection."""
        return _events(self.profile)

    @property
    def info(self) -> Any:  # noqa: ANN401 - any JSON
        """What `info --format json` says of it."""
        return _info(self.profile)


@cache
def _events(profile: Path) -> dict[int, list[Row]]:
    return by_connection(events(profile))


@cache
def _info(profile: Path) -> Any:  # noqa: ANN401 - any JSON
    return read_info(profile)


def data_counts(stats: dict[str, str]) -> dict[str, int]:
    """memcached's counts of every data command."""
    counts = {name: int(stats[name]) for name in COUNTERS}
    return counts | {
        name: sum(int(stats[part]) for part in parts) for name, parts in OUTCOME_COUNTERS.items()
    }


def perform_mixed(connections: list[Connection], seed: int) -> None:
    """The mixed workload on all but the last connection, which polls `stats`."""
    for connection in connections:
        connection.mark()
    connections[-1].perform(stats())  # tells the version before a line is refused
    done = threading.Event()
    poller = threading.Thread(target=poll_stats, args=(connections[-1], done))
    poller.start()
    try:
        in_threads([lambda one=one: Mixture(one, seed).run(STEPS) for one in connections[:-1]])
    finally:
        done.set()
        poller.join()


def record_mixed(server: Memcached, profile: Path, *options: str, seed: int = 1) -> Mixed:
    """Record it: the first connection was open before, one is IPv6, the last polls `stats`."""
    told = "--responses" not in options  # without answers nothing tells the server's version
    refused = server.reads_refused_values if told else None
    opened_before = Connection(server.endpoint, 0, reads_refused_values=refused)
    before = server.settled_stats()
    ports = [] if server.path else [server.port]
    paths = ["--socket", str(server.path)] if server.path else []
    with recorder(profile, ports, *paths, "--no-stats", *options) as running:
        hosts = ["::1" if ordinal == 3 else "127.0.0.1" for ordinal in range(CONNECTIONS + 1)]
        others = [
            Connection(server.endpoint, ordinal, hosts[ordinal], reads_refused_values=refused)
            for ordinal in range(1, CONNECTIONS + 1)
        ]
        connections = [opened_before, *others]
        perform_mixed(connections, seed)
        recording = running.stop()
    mixed = Mixed(profile, connections, before, server.settled_stats(), recording)
    for connection in connections:
        connection.close()
    return mixed
