"""Two measurements with an injected cause between them: `compare` names that cause."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import pytest

import membench
from membench.cli import output
from support.answers import answer
from support.bpf_mounts import cgroup
from support.cli import membench as cli
from support.server import Memcached, connect, memcached
from support.spinner import pin, quota, spinner

pytestmark = [pytest.mark.root]

#: Items of a large multi-get, and such requests: they need far more CPU than the quota leaves.
KEYS, VALUE = 400, 4096
REQUESTS = 160
#: Few, as the first request of each waits to be accepted, and enough for what piles up to fit.
CONNECTIONS = 8
PAUSE_S = 0.01
QUOTA = 0.01
#: Niceness of server and client, above whatever else runs here, and of the hog above them.
NICE, HOG_NICE = -10, -20
STOPS, STOP_S = 10, 0.1


def fill(server: Memcached) -> None:
    """Store the items of a large multi-get."""
    with connect(server.port) as client:
        for number in range(KEYS):
            answer(
                client, b"set k%d 0 0 %d\r\n%s\r\n" % (number, VALUE, b"v" * VALUE), b"STORED\r\n"
            )


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Record large multi-gets."""
    names = b" ".join(b"k%d" % number for number in range(KEYS))
    path = tmp_path / "multi.mb"
    with memcached(threads=1) as server:
        fill(server)
        with membench.record("ebpf:any", path, ports=[server.port]), ExitStack() as stack:
            clients = [stack.enter_context(connect(server.port)) for _ in range(CONNECTIONS)]
            for number in range(REQUESTS):
                answer(clients[number % CONNECTIONS], b"get " + names + b"\r\n")
                time.sleep(PAUSE_S)
    return path


@contextmanager
def elsewhere(cpu: int) -> Iterator[None]:
    """Keep this process off a CPU, if there is another."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, (before - {cpu}) or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def first() -> Iterator[None]:
    """Let this process run before most others, so that their load makes no difference."""
    policy, nice = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    raise_priority(0, NICE)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        os.sched_setscheduler(0, policy, os.sched_param(0))


def raise_priority(thread: int, nice: int) -> None:
    """Give a thread a niceness, under the usual policy."""
    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, thread, nice)


@contextmanager
def hog(group: Path, cpu: int) -> Iterator[None]:
    """Spin on a CPU in a control group of its own, before the server there."""
    with spinner("membench-hog", cpu, group) as process:
        raise_priority(process, HOG_NICE)
        yield


def replayed(
    profile: Path, out: Path, inject: Callable[[int, int], AbstractContextManager[None]]
) -> membench.ReplayResult:
    """Replay against a fresh server on the first CPU; a cause is injected, by process and CPU."""
    cpu = min(os.sched_getaffinity(0))
    with first(), memcached(threads=1) as server, elsewhere(cpu):
        fill(server)
        pin(server.pid, cpu)
        with inject(server.pid, cpu):
            result = membench.replay(
                profile, f"127.0.0.1:{server.port}", allow_nonempty=True, observe=True
            )
    assert result.observation is not None
    assert result.observation.failure is None
    out.write_text(output.as_json(result))
    return result


def verdict(found: membench.Comparison, metric: str) -> membench.ChangeVerdict:
    """Return the verdict on a metric."""
    (one,) = (one for one in found.verdicts if one.metric == metric)
    return one


def test_a_hog_beside_the_server_and_the_server_s_own_quota_are_told_apart(
    profile: Path, tmp_path: Path
) -> None:
    group = cgroup() / f"membench-hog-{os.getpid()}"
    quiet = replayed(profile, tmp_path / "quiet.json", lambda _process, _cpu: nullcontext())
    hogged = replayed(profile, tmp_path / "hogged.json", lambda _process, cpu: hog(group, cpu))
    held_back = replayed(
        profile, tmp_path / "held.json", lambda process, _cpu: quota(process, QUOTA)
    )
    # But for one at either end, the account of the target has the requests of the replay.
    for result in (quiet, hogged, held_back):
        counted = sum(one.account.requests for one in result.observed if one.account)
        assert abs(counted - result.answered) <= 0.1 * result.answered

    beside = membench.compare(quiet, hogged)
    # Many requests fit into what the hog leaves: the slow ones are those that do not.
    told = verdict(beside, "mget.p90")
    # The host of a virtual machine may steal time meanwhile, and on a busy machine the hog is one
    # of many neighbours.
    assert told.cause in {"neighbours", "mixed", "steal"}, told.text
    assert told.evidence["part_ns"] > 0
    assert "run-queue wait" in told.text
    culprits = {one.task for interval in hogged.observed for one in interval.culprits}
    assert "membench-hog" in culprits

    held = membench.compare(quiet, held_back)
    told = verdict(held, "mget.p50")
    assert told.cause == "own-quota", told.text
    assert told.evidence["throttled_b"] > told.evidence["throttled_a"]
    assert "memcached's own time" in told.text
    differing = [one for one in held.host_differences if "cpu" in one.what]
    assert differing, "the quota is a fact about the host that differs"
    # What membench itself tells is the same from files, and within 100 columns.
    done = cli("compare", tmp_path / "quiet.json", tmp_path / "held.json")
    why = told.text.partition(": ")[2]
    assert why in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 100


def recorded(path: Path, *, stops: int) -> Path:
    """Record gets of a server that is stopped now and then while one waits."""
    with (
        memcached(threads=1) as server,
        membench.record("ebpf:any", path, ports=[server.port], observe="requests"),
        connect(server.port) as client,
    ):
        for number in range(400):
            if number % 40 == 0 and number // 40 < stops:
                server.freeze()
                client.sendall(b"get x\r\n")
                time.sleep(STOP_S)
                server.thaw()
                assert client.recv(100) == b"END\r\n"
            else:
                answer(client, b"get x\r\n")
            time.sleep(PAUSE_S / 2)
    return path


def test_stops_between_two_recordings_are_named(tmp_path: Path) -> None:
    quiet = recorded(tmp_path / "quiet.mb", stops=0)
    stopped = recorded(tmp_path / "stopped.mb", stops=STOPS)
    found = membench.compare(quiet, stopped)
    assert found.of == "recordings"
    told = verdict(found, "queue.p99")
    assert told.cause == "stopped", told.text
    assert told.evidence["part_ns"] > STOP_S * 1e9 / 4
    # The other way round it is the same cause.
    assert verdict(membench.compare(stopped, quiet), "queue.p99").cause == "stopped"
    done = cli("compare", quiet, stopped, "--fail", "queue.p99:+10%").expect(99)
    assert "time stopped" in done.stdout


def test_a_report_joins_the_recording_with_what_was_observed(tmp_path: Path) -> None:
    path = recorded(tmp_path / "stopped.mb", stops=STOPS)
    report = membench.report_on(path)
    assert report.times is not None
    assert report.times.queue_ns is not None
    assert report.times.queue_ns.max > STOP_S * 1e9 / 2
    assert report.observed is not None
    assert "stopped" in [one.rule for one in report.observed.verdicts]
    assert sum(report.servers[0].counters.values()) > 0
    # The server's first answer may come when some requests have passed.
    assert 0 < report.servers[0].counters["cmd_get"] <= 400
    assert sum(period.counters.get("cmd_get", 0) for period in report.periods) <= 400
    assert all(second.host is not None for second in report.slowest)
    assert any(second.parts.get("stopped", 0) > 0 for second in report.slowest)
    done = cli("report", path).expect()
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "stopped" in done.stdout
    told = cli("report", path, "--format", "json").expect().json
    assert told["schema_version"] == 1
    assert told["observed"]["account"]["requests"] == report.observed.account.requests  # type: ignore[union-attr]


def test_a_report_of_a_plain_recording_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "plain.mb"
    with (
        memcached() as server,
        membench.record("ebpf:any", path, ports=[server.port]),
        connect(server.port) as client,
    ):
        answer(client, b"get x\r\n")
    report = membench.report_on(path)
    assert report.observed is None
    assert report.times is not None
    done = cli("report", path).expect()
    assert "recorded without `--observe`" in " ".join(done.stdout.split())


def test_a_target_elsewhere_is_refused_before_anything_is_sent(profile: Path) -> None:
    with pytest.raises(membench.UsageError, match="cannot be observed from here"):
        membench.replay(profile, "unix:/run/nothing", observe=True)
    with pytest.raises(membench.UsageError, match="cannot be observed from here"):
        membench.replay(profile, "192.0.2.1:11211", observe=True)
