"""Requests under observation: the account closes; memcached, client and kernel agree."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import membench
from membench.errors import CaptureUnavailableError, UsageError
from support.answers import answer, receive
from support.bpf_mounts import cgroup
from support.cli import COMMAND, environment, membench as cli
from support.kernel_objects import kernel_objects_of, wait_until_gone
from support.least import with_capabilities
from support.ports import free_port
from support.process import started
from support.server import Memcached, connect, memcached
from support.spinner import pin, quota, spinner

pytestmark = [pytest.mark.root]

GETS = 2000
STOP_NS = 300_000_000
#: What of a stop must be seen. The rest is the time between the stop and the request.
STOP_SEEN_NS = 250_000_000
#: Fields that each line of JSON has.
FIELDS = {"account", "culprits", "verdicts", "workers", "misses", "cost_ns_per_request"}
ACCOUNT_FIELDS = {"requests", "whole_ns", "parts_ns"}
#: Share of the CPUs' time from which docs/observe.md calls it steal.
STOLEN = 0.02
#: Items of a large multi-get.
KEYS, VALUE = 400, 4096
#: Requests behind another.
ROUNDS = 10


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


def ask(server: Memcached, requests: int, request: bytes = b"get x\r\n") -> None:
    """Send requests one after the other on a connection of their own."""
    with connect(server.port) as client:
        for _ in range(requests):
            answer(client, request)


def observing(server: Memcached) -> membench.Observation:
    """Observe a server from its next request on."""
    observed = membench.observe(requests=True, ports=[server.port], interval_s=None)
    observed.take()
    return observed


def finished(observed: membench.Observation) -> membench.ObserveInterval:
    """End an observation; return what it counted since it was last asked."""
    observed.stop()
    return observed.take()


def account(interval: membench.ObserveInterval) -> membench.Account:
    """Return the interval's account, whose parts sum to the whole."""
    found = interval.account
    assert found is not None
    assert sum(found.parts_ns.values()) == found.whole_ns
    assert all(time_ns >= 0 for time_ns in found.parts_ns.values())
    return found


def misses(interval: membench.ObserveInterval) -> membench.RequestMisses:
    """Return the interval's misses."""
    assert interval.misses is not None
    return interval.misses


def rules(interval: membench.ObserveInterval) -> list[str]:
    """Return the rules that found something, the largest share first."""
    return [verdict.rule for verdict in interval.verdicts]


def test_the_account_closes_and_memcached_counts_the_same_requests(server: Memcached) -> None:
    before = int(server.stats()["cmd_get"])
    with observing(server) as observed:
        begun = time.monotonic_ns()
        ask(server, GETS)
        interval = finished(observed)
        elapsed_ns = time.monotonic_ns() - begun
    assert int(server.stats()["cmd_get"]) - before == GETS
    found, left_out = account(interval), misses(interval)
    # The server hands one request more to the observation: its own question for the counters.
    own = found.requests + left_out.lost - GETS
    assert 0 <= own <= 1
    assert left_out.lost <= GETS / 1000
    assert left_out.unanswered == left_out.continued == 0
    assert found.share("unexplained") < 0.05
    assert 0 < found.parts_ns["memcached"] < found.whole_ns
    # A send may return after its answer was read and the next request came, so at most two requests
    # of the connection are under way at any moment, and the question for the counters.
    assert found.whole_ns <= 3 * elapsed_ns
    assert found.quantiles["whole"].p50_ns <= found.quantiles["whole"].p99_ns


def test_every_request_of_many_clients_at_once_is_in_the_account(server: Memcached) -> None:
    clients = 8
    with observing(server) as observed:
        threads = [threading.Thread(target=ask, args=(server, GETS)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        interval = finished(observed)
    found, left_out = account(interval), misses(interval)
    assert abs(found.requests + left_out.lost - clients * GETS) <= 1
    assert left_out.lost <= clients * GETS / 1000
    assert found.share("unexplained") < 0.05
    assert sum(worker.requests for worker in interval.workers) == found.requests
    assert len([worker for worker in interval.workers if worker.requests]) == server.threads


def test_a_stop_is_attributed_to_itself(server: Memcached) -> None:
    with connect(server.port) as client, observing(server) as observed:
        answer(client, b"get x\r\n")
        server.freeze()
        client.sendall(b"get x\r\n")
        time.sleep(STOP_NS / 1e9)
        server.thaw()
        assert client.recv(100) == b"END\r\n"
        interval = finished(observed)
    found = account(interval)
    assert found.parts_ns["stopped"] >= STOP_SEEN_NS
    assert found.quantiles["stopped"].max_ns >= STOP_SEEN_NS
    assert rules(interval)[0] == "stopped"


def test_a_client_that_sends_slowly_is_not_blamed_on_the_server(server: Memcached) -> None:
    with connect(server.port) as client, observing(server) as observed:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer(client, b"get x\r\n")
        client.sendall(b"set long 0 0 100000\r\n" + b"v" * 50_000)
        time.sleep(STOP_NS / 1e9)
        answer(client, b"v" * 50_000 + b"\r\n", b"STORED\r\n")
        interval = finished(observed)
    assert account(interval).quantiles["whole"].max_ns < STOP_SEEN_NS
    assert misses(interval).unanswered > 0
    assert misses(interval).lost == 0


def test_a_quiet_command_does_not_count_the_time_until_the_next(server: Memcached) -> None:
    with connect(server.port) as client, observing(server) as observed:
        answer(client, b"get x\r\n")
        client.sendall(b"set x 0 0 1 noreply\r\n1\r\n")
        time.sleep(STOP_NS / 1e9)
        answer(client, b"get x\r\n")
        interval = finished(observed)
    assert account(interval).quantiles["whole"].max_ns < STOP_SEEN_NS
    assert misses(interval).unanswered == 1


def test_the_first_request_of_a_connection_has_a_part_of_its_own(server: Memcached) -> None:
    connections = 50
    with observing(server) as observed:
        for _ in range(connections):
            ask(server, 1)
        interval = finished(observed)
    found = account(interval)
    assert found.requests >= connections - misses(interval).lost
    assert found.parts_ns["accept"] > 0
    assert found.share("unexplained") < 0.05


def test_a_connection_that_was_open_before_is_in_the_account_from_its_second_request(
    server: Memcached,
) -> None:
    with connect(server.port) as client:
        answer(client, b"get x\r\n")
        with observing(server) as observed:
            for _ in range(10):
                answer(client, b"get x\r\n")
            interval = finished(observed)
    assert misses(interval).unseen >= 1
    assert account(interval).requests in {9, 10}
    assert account(interval).share("accept") == 0


def test_a_request_waits_behind_a_large_one_of_the_same_worker() -> None:
    names = b" ".join(b"k%d" % number for number in range(KEYS))
    with memcached(threads=1) as server:
        fill(server)
        small = behind(server, b"get x\r\n")
        large = behind(server, b"get " + names + b"\r\n")
    assert large > 3 * small


def behind(server: Memcached, first: bytes) -> int:
    """Return the time for which requests waited behind `first`, which came before them, ns."""
    with (
        connect(server.port) as one,
        connect(server.port) as other,
        observing(server) as observed,
    ):
        answer(one, b"get x\r\n")
        answer(other, b"get x\r\n")
        for _ in range(ROUNDS):
            server.freeze()
            one.sendall(first)
            other.sendall(b"get x\r\n")
            server.thaw()
            receive(one)
            receive(other)
        return account(finished(observed)).parts_ns["ahead"]


@contextmanager
def elsewhere(cpu: int) -> Iterator[None]:
    """Keep this process off a CPU, if there is another."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, (before - {cpu}) or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def test_a_neighbour_is_told_from_the_servers_own_quota() -> None:
    cpu = min(os.sched_getaffinity(0))
    group = cgroup() / f"membench-hog-{os.getpid()}"
    names = b" ".join(b"k%d" % number for number in range(KEYS))
    with memcached(threads=1) as server, elsewhere(cpu):
        fill(server)
        pin(server.pid, cpu)
        with spinner("membench-hog", cpu, group), observing(server) as observed:
            ask(server, GETS // 10)
            beside_hog = finished(observed)
        with quota(server.pid, 0.05), observing(server) as observed:
            ask(server, 50, b"get " + names + b"\r\n")
            held_back = finished(observed)
    # The host of a virtual machine may steal time meanwhile, which the rules ask for first.
    # On a busy machine the hog is one of many neighbours, of which the last seven are known.
    assert {"neighbours", "steal", "mixed"} & set(rules(beside_hog))
    assert ("steal" in rules(beside_hog)) == (beside_hog.host.steal >= STOLEN)
    assert "own-quota" not in rules(beside_hog)
    hog = [one for one in beside_hog.culprits if one.cgroup == f"/{group.name}"]
    assert [one.task for one in hog] == ["membench-hog"]
    assert hog[0].share > 0.01
    assert "own-quota" in rules(held_back)
    assert "neighbours" not in rules(held_back)
    assert (held_back.host.throttled_ns or 0) > 0


def fill(server: Memcached) -> None:
    """Store the items of a large multi-get."""
    with connect(server.port) as client:
        for number in range(KEYS):
            value = b"v" * VALUE
            answer(client, b"set k%d 0 0 %d\r\n%s\r\n" % (number, VALUE, value), b"STORED\r\n")


def test_workers_wait_for_a_cpu_as_long_as_the_kernel_says(server: Memcached) -> None:
    with observing(server) as observed:
        ask(server, GETS)
        interval = observed.take()
        before = _waited(interval)
        threads = [threading.Thread(target=ask, args=(server, GETS)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        interval = finished(observed)
        waited = _waited(interval) - before
    assert interval.waited_ns is not None
    assert 0.7 * waited - 10_000_000 < interval.waited_ns < 1.3 * waited + 10_000_000


def _waited(interval: membench.ObserveInterval) -> int:
    """Return the time that the workers have waited for a CPU so far, by the kernel's statistics."""
    total = 0
    for worker in interval.workers:
        task = Path("/proc") / str(worker.process) / "task" / str(worker.thread)
        total += int((task / "schedstat").read_text().split()[1])
    return total


def test_each_line_of_json_is_an_interval(server: Memcached) -> None:
    command = [*COMMAND, "observe", "--requests", "--port", str(server.port), "--format", "json"]
    with started(
        [*command, "--interval", "200ms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        lines = []
        for _ in range(3):
            lines.append(json.loads(process.stdout.readline()))
            ask(server, 10)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    lines += [json.loads(line) for line in rest.splitlines()]
    assert len(lines) >= 4
    lost = 0
    for line in lines:
        assert line.keys() >= FIELDS
        assert line["account"].keys() >= ACCOUNT_FIELDS
        assert sum(line["account"]["parts_ns"].values()) == line["account"]["whole_ns"]
        lost += sum(line["misses"][name] for name in ("broken", "unlisted", "moved", "no_state"))
    # Nothing is lost between the intervals, nor at Ctrl-C.
    assert sum(line["account"]["requests"] for line in lines) + lost >= 30
    assert process.returncode == (4 if lost else 0)


def test_a_report_has_the_account_the_workers_and_the_cost(server: Memcached) -> None:
    command = [*COMMAND, "observe", "--requests", "--port", str(server.port), "--interval", "1h"]
    with started(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stderr is not None
        assert "Ctrl-C ends" in process.stderr.readline()
        ask(server, 100)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    assert process.returncode == 0
    assert all(len(line) <= 100 for line in told.splitlines())
    for words in ("memcached's own", "the whole", "unexplained", "→ ", "cost ", "left out"):
        assert words in told


def test_nothing_is_left_in_the_kernel_after_a_kill(server: Memcached) -> None:
    command = [*COMMAND, "observe", "--requests", "--port", str(server.port)]
    with started(command, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stderr is not None
        process.stderr.readline()
        held = kernel_objects_of(process.pid)
        assert len([one for one in held if one.kind == "prog_id"]) >= 6
        process.kill()
        process.wait()
    wait_until_gone(held, "a killed process")


def test_without_requests_no_privilege_is_needed(server: Memcached) -> None:
    command = [*with_capabilities(), sys.executable, "-m", "membench", "observe"]
    options = ["--port", str(server.port), "--format", "json", "-d", "1s"]
    told = subprocess.run([*command, *options], capture_output=True, check=False, env=environment())
    assert told.returncode == 0, told.stderr
    (line,) = [json.loads(text) for text in told.stdout.splitlines()]
    assert line["account"] is None
    assert line["servers"][0]["process"] == server.pid
    assert line["servers"][0]["threads"]
    assert any("--requests" in one["takes"] for one in line["missing"])


def test_requests_without_a_privilege_are_refused_with_its_name(server: Memcached) -> None:
    command = [*with_capabilities(), sys.executable, "-m", "membench", "observe", "--requests"]
    options = ["--port", str(server.port)]
    told = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, env=environment()
    )
    assert told.returncode == CaptureUnavailableError.exit_code
    assert "CAP_BPF" in told.stderr


def test_what_cannot_be_observed_is_refused(server: Memcached) -> None:
    with pytest.raises(UsageError, match="cannot be observed"):
        membench.observe("watch:127.0.0.1:11211")
    with pytest.raises(UsageError, match="at their ports"):
        membench.observe(selection=membench.Selection(side="client", ports=[server.port]))
    for one in ({"cgroups": [cgroup()]}, {"network_namespaces": ["1"]}):
        with pytest.raises(UsageError, match="choose among requests") as refused:
            membench.observe(selection=membench.Selection(ports=[server.port], **one))
        assert "`requests=True`" in (refused.value.hint or "")
    told = cli("observe", "--cgroup", cgroup(), "-d", "1s").expect(UsageError.exit_code)
    assert "--requests" in told.stderr
    cli("observe", "--port", "1", "-d", "1s").expect(CaptureUnavailableError.exit_code)


def test_a_server_that_was_started_again_is_found_again(server: Memcached) -> None:
    with membench.observe(ports=[server.port], interval_s=None) as observed:
        (before,) = observed.take().servers
        assert before.process == server.pid
        server.restart()
        ask(server, 10)
        (found,) = observed.take().servers
        ask(server, 10)
        (after,) = observed.take().servers
    assert before.process != server.pid
    assert found.process == after.process == server.pid
    assert found.counters == {}
    assert server.pid in {thread.thread for thread in found.threads}
    assert after.counters["cmd_get"] == 10


def test_a_server_that_does_not_answer_for_a_while_keeps_its_threads(
    server: Memcached, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without privileges only the server's answer tells its process.
    monkeypatch.setattr("membench._observe.servers.find_process", lambda _: None)
    with membench.observe(ports=[server.port], interval_s=None) as observed:
        server.freeze()
        frozen = [observed.take().servers[0] for _ in range(2)]
        server.thaw()
    assert [one.counters for one in frozen] == [{}, {}]
    assert [one.process for one in frozen] == [server.pid] * 2
    assert all(one.threads for one in frozen)


def test_a_server_with_two_ports_is_looked_at_once_and_both_are_named() -> None:
    port, other = sorted((free_port(), free_port()))
    both = f"127.0.0.1:{port},127.0.0.1:{other}"
    with (
        memcached(port=port, arguments=("-l", both)) as server,
        membench.observe(ports=[port, other], interval_s=None) as observed,
    ):
        interval = finished(observed)
    assert interval.ports == observed.ports == (port, other)
    assert [one.process for one in interval.servers] == [server.pid]


def test_a_server_with_a_backlog_of_0_is_observed_and_no_client_is() -> None:
    with (
        memcached(arguments=("-b", "0")) as server,
        memcached() as other,
        # A client whose own port is one that is followed.
        connect(other.port) as client,
    ):
        ports = [server.port, client.getsockname()[1]]
        with membench.observe(requests=True, ports=ports, interval_s=None) as observed:
            observed.take()
            ask(server, GETS)
            for _ in range(10):
                answer(client, b"get x\r\n")
            interval = finished(observed)
    found, left_out = account(interval), misses(interval)
    # The server hands one request more to the observation: its own question for the counters.
    assert 0 <= found.requests + left_out.lost - GETS <= 1
    assert left_out.unseen == 0
    assert found.share("unexplained") < 0.05


def test_no_server_of_this_namespace_is_taken_for_one_of_another(server: Memcached) -> None:
    selection = membench.Selection(ports=[server.port], network_namespaces=["/proc/self/ns/net"])
    with membench.observe(requests=True, selection=selection, interval_s=None) as observed:
        assert observed.ports == (server.port,)
        interval = finished(observed)
    assert interval.servers == ()
    assert any("network namespaces" in one.what for one in interval.missing)
