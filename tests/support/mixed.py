"""The mixed workload on a recorded memcached: the clients' log, counters, and the profile."""

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
#: Random steps of each connection; fewer on an emulated machine.
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
    """A recording of the mixed workload, the clients' log, and memcached's counters around it."""

    profile: Path
    connections: list[Connection]
    before: dict[str, str]
    after: dict[str, str]
    recording: Completed

    def moved(self, counter: str) -> int:
        """Return by how much one of memcached's counters changed."""
        return int(self.after[counter]) - int(self.before[counter])

    @property
    def request_bytes(self) -> int:
        """Bytes that memcached counted as read."""
        return self.moved("bytes_read")

    @property
    def response_bytes(self) -> int:
        """Bytes that memcached counted as written."""
        return self.moved("bytes_written")

    @property
    def events(self) -> dict[int, list[Row]]:
        """Events of the profile, by connection."""
        return _events(self.profile)

    @property
    def info(self) -> Any:  # noqa: ANN401 - any JSON
        """Output of `info --format json` for the profile."""
        return _info(self.profile)


@cache
def _events(profile: Path) -> dict[int, list[Row]]:
    return by_connection(events(profile))


@cache
def _info(profile: Path) -> Any:  # noqa: ANN401 - any JSON
    return read_info(profile)


def data_counts(stats: dict[str, str]) -> dict[str, int]:
    """Return memcached's counts of the data commands."""
    counts = {name: int(stats[name]) for name in COUNTERS}
    return counts | {
        name: sum(int(stats[part]) for part in parts) for name, parts in OUTCOME_COUNTERS.items()
    }


def perform_mixed(connections: list[Connection], seed: int) -> None:
    """Run the mixed workload on all but the last connection, which polls `stats`."""
    for connection in connections:
        connection.mark()
    connections[-1].perform(stats())  # the decoder must know the version before a line is refused
    done = threading.Event()
    poller = threading.Thread(target=poll_stats, args=(connections[-1], done))
    poller.start()
    try:
        in_threads([lambda one=one: Mixture(one, seed).run(STEPS) for one in connections[:-1]])
    finally:
        done.set()
        poller.join()


def record_mixed(server: Memcached, profile: Path, *options: str, seed: int = 1) -> Mixed:
    """Record the workload; the first connection is opened before, one is IPv6."""
    told = "--responses" not in options  # only responses tell the decoder the server's version
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
