"""Rings: every record comes, in order, decoded; those without room are counted; waits end."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from membench import bpf
from membench.errors import UsageError
from support.bpf_programs import RECORDS, SAMPLES, compiled

pytestmark = [pytest.mark.root]

GETPPID = 110 if platform.machine() == "x86_64" else 173
# Longer than any wait that the tests make.
PATIENT_S = 60.0


@contextmanager
def recording(source: str, size: int | None = None) -> Iterator[bpf.Object]:
    with bpf.Object.open(compiled(source)) as found:
        found.globals["pid"] = os.getpid()
        found.globals["wanted"] = GETPPID
        if size is not None:
            found.maps["events"].max_entries = size
        found.load()
        found.programs["record"].attach()
        yield found


def make(count: int) -> None:
    for _ in range(count):
        os.getppid()


@pytest.mark.parametrize("source", [RECORDS, SAMPLES], ids=["ringbuf", "perf_event_array"])
def test_every_record_comes_once_and_decoded(source: str) -> None:
    with recording(source, 1 << 16 if source == RECORDS else None) as found:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        ring = found.ring("events", type="event", timeout_s=0.5)
        make(100)
        events = list(ring)
        make(20)
        events += ring
        assert [event["number"] for event in events] == list(range(120))
        assert {event["tgid"] for event in events} == {os.getpid()}


@pytest.fixture(autouse=True)
def _same_cpus() -> Iterator[None]:
    cpus = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, cpus)


def test_a_text_of_a_record_is_a_string() -> None:
    with recording(RECORDS) as found:
        ring = found.ring("events", type="event")
        make(1)
        (event,) = ring.read(PATIENT_S)
        assert event["comm"] == Path("/proc/self/comm").read_text().strip()
        assert found.ring("events").read() == []


def test_records_without_room_are_counted_and_shown() -> None:
    with recording(RECORDS) as found:
        ring = found.ring("events", type="event", lost="dropped", timeout_s=0.1)
        assert ring.lost == 0
        make(5000)
        events = list(ring)
        assert 0 < len(events) < 5000
        assert len(events) + ring.lost == 5000 == found.globals["made"]
        assert f"lost={ring.lost}" in repr(ring)
        assert found.ring("events").lost is None
        assert "lost=not counted" in repr(found.ring("events"))


def test_samples_without_room_are_counted_by_the_kernel() -> None:
    with recording(SAMPLES) as found:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        ring = found.ring("events", type="event", timeout_s=0.2, pages=1)
        assert ring.lost == 0
        make(5000)
        events = list(ring)
        # The kernel tells of losses with the next sample.
        make(1)
        events += ring
        assert 0 < len(events) < 5001
        assert len(events) + (ring.lost or 0) == 5001 == found.globals["made"]


def test_a_wait_ends_in_time_and_lets_other_threads_run() -> None:
    with recording(RECORDS) as found:
        ring = found.ring("events")
        turns = 0
        ended = threading.Event()

        def count() -> None:
            nonlocal turns
            while not ended.is_set():
                turns += 1
                time.sleep(0.001)

        thread = threading.Thread(target=count)
        thread.start()
        start = time.monotonic()
        assert ring.read(0.3) == []
        assert time.monotonic() - start >= 0.3
        ended.set()
        thread.join()
        assert turns > 1


def test_a_record_of_another_thread_ends_the_wait() -> None:
    with recording(RECORDS) as found:
        thread = threading.Timer(0.1, make, [1])
        thread.start()
        assert len(found.ring("events").read(PATIENT_S)) == 1
        thread.join()


def test_a_signal_ends_the_wait() -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, stop)
    try:
        with recording(RECORDS) as found:
            timer = threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGUSR1])
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                for _ in found.ring("events"):
                    pass
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_other_tasks_run_while_a_ring_is_waited_for() -> None:
    async def main() -> tuple[list[int], int]:
        turns = 0
        with recording(RECORDS) as found:
            ring = found.ring("events", type="event", timeout_s=0.5)

            async def work() -> None:
                nonlocal turns
                for _ in range(30):
                    make(1)
                    turns += 1
                    await asyncio.sleep(0.001)

            task = asyncio.create_task(work())
            numbers = [event["number"] async for event in ring]
            await task
        return numbers, turns

    numbers, turns = asyncio.run(main())
    assert numbers == list(range(30))
    assert turns == 30


def test_a_closed_ring_and_a_map_without_records_are_refused() -> None:
    with recording(RECORDS) as found:
        ring = found.ring("events")
        with pytest.raises(bpf.NotFound, match="no type evnt"):
            found.ring("events", type="evnt")
        with pytest.raises(bpf.NotFound, match="no global drop"):
            found.ring("events", lost="drop")
        with pytest.raises(bpf.NotFound, match="no map evnts; it has events"):
            found.ring("evnts")
    with pytest.raises(bpf.InvalidHandle):
        ring.read()
    with pytest.raises(UsageError):
        ring.read()
