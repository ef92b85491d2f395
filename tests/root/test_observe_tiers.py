"""Tiers of an observation: what each tells, what it lacks, and the step down that a limit makes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import membench
from membench.errors import CaptureUnavailableError, UsageError
from support.answers import answer
from support.cli import COMMAND, environment, membench as cli
from support.kernel_objects import kernel_objects_of
from support.least import with_capabilities
from support.process import started
from support.server import Memcached, connect, memcached

pytestmark = [pytest.mark.root]

#: Exit code of a command whose result is not all that was asked for.
SHORT = 4
#: A share of a CPU that nothing can keep to, and one that everything does.
NOTHING, ALL = 1e-9, 100.0


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


def ask(server: Memcached, requests: int) -> None:
    """Send requests on a connection of their own."""
    with connect(server.port) as client:
        for _ in range(requests):
            answer(client, b"get x\r\n")


def lacking(interval: membench.ObserveInterval) -> str:
    """Return what an interval lacks, and what that takes."""
    return " ".join(f"{one.what}: {one.takes}" for one in interval.missing)


def test_each_tier_tells_what_it_lacks_and_what_that_takes(server: Memcached) -> None:
    with membench.observe(ports=[server.port], interval_s=None) as observed:
        lowest = observed.take()
    with membench.observe(ports=[server.port], interval_s=None, events=True) as observed:
        middle = observed.take()
    with membench.observe(ports=[server.port], interval_s=None, requests=True) as observed:
        highest = observed.take()
    assert [one.tier for one in (lowest, middle, highest)] == [0, 1, 2]
    assert "`--requests`" in lacking(lowest)
    assert "`--events`" in lacking(lowest)
    assert "`--requests`" in lacking(middle)
    assert "`--events`" not in lacking(middle)
    assert "`--requests`" not in lacking(highest)
    assert lowest.tcp_events is None
    assert middle.tcp_events is not None
    assert highest.tcp_events is not None
    assert (lowest.account, middle.account) == (None, None)
    assert highest.account is not None
    assert all(one.servers[0].tcp is not None for one in (lowest, middle, highest))
    assert lowest.cpu_share is None
    assert middle.cpu_share is not None


def test_rare_events_load_no_program_that_follows_requests(server: Memcached) -> None:
    command = [*COMMAND, "observe", "--events", "--port", str(server.port)]
    with started(command, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stderr is not None
        assert "Ctrl-C ends" in process.stderr.readline()
        held = kernel_objects_of(process.pid)
        assert len([one for one in held if one.kind == "prog_id"]) == 3


def test_more_than_a_limit_steps_down_to_the_next_tier_and_says_so(server: Memcached) -> None:
    with membench.observe(
        requests=True, ports=[server.port], interval_s=None, max_cost=NOTHING
    ) as observed:
        ask(server, 100)
        first = observed.take()
        ask(server, 100)
        second = observed.take()
    assert first.account is not None
    assert first.account.requests > 0
    assert first.tier == 2
    assert first.stepped_down is not None
    assert "of one CPU" in first.stepped_down
    assert second.tier == 1
    assert second.account is None
    assert second.tcp_events is not None
    assert "a higher `--max-cost`" in lacking(second)


def test_within_a_limit_nothing_changes(server: Memcached) -> None:
    with membench.observe(
        requests=True, ports=[server.port], interval_s=None, max_cost=ALL
    ) as observed:
        ask(server, 100)
        first = observed.take()
        ask(server, 100)
        second = observed.take()
    assert (first.stepped_down, second.stepped_down) == (None, None)
    assert (first.tier, second.tier) == (2, 2)
    assert second.account is not None
    assert second.misses is not None
    assert second.account.requests >= 100 - second.misses.lost


def test_a_command_that_stepped_down_ends_with_a_code_of_its_own(server: Memcached) -> None:
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            ask(server, 10)

    asking = threading.Thread(target=load)
    asking.start()
    options = [
        "--port",
        str(server.port),
        "--interval",
        "500ms",
        "-d",
        "2s",
        "--max-cost",
        "0.001%",
    ]
    try:
        told = cli("observe", "--requests", *options).expect(SHORT)
        lines = cli("observe", "--requests", *options, "--format", "json").expect(SHORT)
    finally:
        stop.set()
        asking.join()
    assert "more than 0.001" in told.stdout
    assert all(len(line) <= 100 for line in told.stdout.splitlines())
    tiers = [json.loads(line)["tier"] for line in lines.stdout.splitlines()]
    assert tiers[0] == 2
    assert tiers == sorted(tiers, reverse=True)
    assert tiers[-1] < 2


def test_a_limit_takes_programs_and_the_privilege_to_ask_for_their_cost(server: Memcached) -> None:
    with pytest.raises(UsageError, match="none are asked for"):
        membench.observe(ports=[server.port], max_cost=0.05)
    command = [*with_capabilities("bpf", "perfmon"), sys.executable, "-m", "membench", "observe"]
    options = ["--events", "--port", str(server.port), "--max-cost", "5%", "-d", "1s"]
    told = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, env=environment()
    )
    assert told.returncode == CaptureUnavailableError.exit_code
    assert "CAP_SYS_ADMIN" in told.stderr
