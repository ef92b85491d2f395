"""Figures that Prometheus fetches from an observation: the same as the intervals have."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from membench.errors import UsageError
from support.cli import COMMAND, environment, membench as cli
from support.process import started
from support.server import Memcached, connect, memcached
from support.waiting import until

pytestmark = [pytest.mark.root]

GETS = 200


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


Sample = tuple[str, tuple[tuple[str, str], ...]]


def scraped(url: str) -> dict[Sample, float]:
    """Fetch the figures, each by its name and labels."""
    with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 - the test's own address
        text = reply.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ask(server: Memcached) -> None:
    """Ask for a key that is not there, often."""
    with connect(server.port) as client:
        for _ in range(GETS):
            client.sendall(b"get x\r\n")
            assert client.recv(100) == b"END\r\n"


def test_prometheus_fetches_the_sums_of_all_intervals(server: Memcached) -> None:
    command = [*COMMAND, "observe", "--requests", "--port", str(server.port), "--format", "json"]
    with started(
        [*command, "--interval", "100ms", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        url = re.search(r"http://\S+", process.stderr.readline())
        assert url is not None
        ask(server)
        requests: Sample = ("membench_requests_total", ())
        gets: Sample = (
            "membench_server_counter_total",
            (("counter", "cmd_get"), ("port", str(server.port))),
        )

        def fetched() -> dict[Sample, float]:
            # The server's counters are asked for at another moment than the requests are summed.
            found = scraped(url[0])
            return found if min(found.get(requests, 0), found.get(gets, 0)) >= GETS - 1 else {}

        found = until(fetched, "the requests")
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    lines = [json.loads(line) for line in told.splitlines()]
    account = sum(line["account"]["requests"] for line in lines)
    lost = sum(line["misses"]["broken"] for line in lines)
    assert GETS - lost <= found[requests] <= account
    # The parts sum to the whole of the requests that had been counted by then.
    parts = {dict(labels)["part"] for name, labels in found if name == PARTS}
    assert parts == set(lines[0]["account"]["parts_ns"])
    seconds = sum(value for (name, _), value in found.items() if name == PARTS)
    whole = sum(line["account"]["whole_ns"] for line in lines) / 1e9
    assert 0 < seconds <= whole * 1.000001
    assert found["membench_observed_seconds_total", ()] > 0


PARTS = "membench_request_seconds_total"


def test_without_privileges_the_servers_own_figures_are_served(server: Memcached) -> None:
    command = [*COMMAND, "observe", "--port", str(server.port), "--interval", "100ms"]
    with started(
        [*command, "--listen", "[::1]:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        url = re.search(r"http://\[::1\]:\S+", process.stderr.readline())
        assert url is not None
        ask(server)
        key: Sample = (
            "membench_server_counter_total",
            (("counter", "cmd_get"), ("port", str(server.port))),
        )
        until(lambda: scraped(url[0]).get(key, 0) == GETS, "the server's own counters")
        assert ("membench_requests_total", ()) not in scraped(url[0])
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 0


def test_addresses_that_cannot_be_listened_at_are_refused(server: Memcached) -> None:
    for listen, words in (
        ("9150", "not an address"),
        ("127.0.0.1:99999", "not an address"),
        (f"127.0.0.1:{server.port}", "in use"),
    ):
        told = cli("observe", "--port", server.port, "--listen", listen, "-d", "1s")
        assert words in told.expect(UsageError.exit_code).stderr


def test_a_missing_library_is_told_with_the_line_that_installs_it(server: Memcached) -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from membench.__main__ import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "observe", "--port", str(server.port)]
    told = subprocess.run(
        [*command, "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert told.returncode == UsageError.exit_code
    assert "pip install 'membench[prometheus]'" in told.stderr
