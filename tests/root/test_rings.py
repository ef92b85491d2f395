"""Several rings: connections of threads that move between CPUs stay complete and in order."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from support import proc
from support.mixed import Mixed, record_mixed
from support.oracle import KeyIds, compare
from support.server import Memcached, memcached

pytestmark = [
    pytest.mark.root,
    pytest.mark.memcached,
    pytest.mark.kernel,
    pytest.mark.skipif(os.cpu_count() == 1, reason="one CPU: there is one ring"),
]

#: Pause between two moves of the threads, s.
PAUSE = 0.0005
#: Index of the CPU among the fields of `/proc/PID/stat` after the name.
PROCESSOR = 36
MOST_RINGS = 64


class Wandering:
    """Moves the threads of a server between CPUs, and notes where they ran."""

    def __init__(self, server: Memcached) -> None:
        """Take the server; nothing moves yet."""
        self._pid = server.pid
        self._cpus = sorted(os.sched_getaffinity(0))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wander)
        #: CPUs on which each thread was seen, by thread id.
        self.seen: defaultdict[int, set[int]] = defaultdict(set)

    def _wander(self) -> None:
        chance = random.Random(1)
        while not self._done.wait(PAUSE):
            for thread, text in proc.tasks(self._pid, "stat").items():
                self.seen[thread].add(int(proc.stat(text)[PROCESSOR]))
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread, {chance.choice(self._cpus)})

    @contextmanager
    def going_on(self) -> Iterator[Wandering]:
        """Move the threads until the block ends."""
        self._thread.start()
        try:
            yield self
        finally:
            self._done.set()
            self._thread.join()


@pytest.fixture(scope="module")
def wandering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mixed, Wandering]]:
    folder = tmp_path_factory.mktemp("rings")
    with memcached(threads=4, memory=1024) as server, Wandering(server).going_on() as wandering:
        yield record_mixed(server, folder / "mixed.mb", seed=2), wandering


def test_cpus_have_rings_of_their_own_and_threads_used_several(
    wandering: tuple[Mixed, Wandering],
) -> None:
    mixed, moved = wandering
    facts = json.loads((mixed.profile / "manifest.json").read_text())["facts"]
    assert facts["rings"] == min(os.cpu_count() or 0, MOST_RINGS)
    assert sum(len(cpus) > 1 for cpus in moved.seen.values()) > 1, moved.seen


def test_every_byte_of_threads_that_move_is_in_the_ledger(
    wandering: tuple[Mixed, Wandering],
) -> None:
    mixed, _ = wandering
    mixed.recording.expect(0)
    ledger = mixed.info["ledger"]
    counted = mixed.request_bytes, mixed.response_bytes
    assert (ledger["request_bytes"], ledger["response_bytes"]) == counted, ledger
    assert (ledger["complete"], ledger["boundary"]) == (True, 0), ledger


def test_the_events_of_threads_that_move_are_what_the_clients_did_in_their_order(
    wandering: tuple[Mixed, Wandering],
) -> None:
    mixed, _ = wandering
    assert compare(mixed.connections, mixed.events, KeyIds()) == []
    for rows in mixed.events.values():
        times = [row["time"] for row in rows]
        assert times == sorted(times)
