"""Probes of the kernel and of programs: bpftrace, strace and memcached say the same."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import membench
from membench import bpf
from membench.errors import CaptureUnavailableError, UsageError
from support.bpf_mounts import cgroup, tracefs
from support.bpf_programs import counter
from support.bpftrace import WORKLOAD, agree, bpftrace, run, workload
from support.cli import COMMAND, environment, membench as cli
from support.kernel import release
from support.kernel_objects import kernel_objects_of, wait_until_gone
from support.least import with_capabilities
from support.process import started
from support.server import Memcached, connect
from support.waiting import until

pytestmark = [pytest.mark.root]

GETPPIDS = 400
CONNECTIONS, SENT = 60, 333
LIBC = ctypes.CDLL(None)
#: Fields that each line of JSON has.
FIELDS = {"hook", "count", "rate", "misses", "cost_ns", "histogram", "stacks", "groups", "lost"}


def finished(probe: membench.Probe) -> membench.ProbeInterval:
    """End a probe; return what it counted since it was last asked."""
    probe.stop()
    return probe.take()


def powers(interval: membench.ProbeInterval, least: int = 1) -> dict[int, int]:
    """Return the counts of a histogram of powers of two, by the exponent."""
    assert interval.histogram is not None
    return {
        bucket.low.bit_length() - 1: bucket.count
        for bucket in interval.histogram.buckets
        if bucket.low is not None and bucket.low >= least and bucket.count
    }


def test_calls_are_counted_as_bpftrace_counts_them() -> None:
    results: dict[str, object] = {}
    with workload() as process:
        script = f"tracepoint:raw_syscalls:sys_enter /pid == {process.pid}/ {{ @ = count(); }}"
        with (
            bpftrace(script, results),
            membench.probe("tp_btf:sys_enter", pids=[process.pid]) as probe,
        ):
            run(process)
            counted = finished(probe)
    theirs = results["@"]
    assert isinstance(theirs, int)
    assert counted.count > GETPPIDS
    assert abs(counted.count - theirs) <= theirs / 100
    assert counted.misses == 0
    assert counted.cost_ns is not None
    assert counted.cost_ns > 0


def test_a_histogram_of_results_is_bpftraces() -> None:
    results: dict[str, object] = {}
    with workload() as process:
        condition = f"/pid == {process.pid} && args->ret > 0 && args->ret < 65536/"
        script = f"tracepoint:raw_syscalls:sys_exit {condition} {{ @ = hist(args->ret); }}"
        with (
            bpftrace(script, results),
            membench.probe("tp_btf:sys_exit", pids=[process.pid], histogram="ret") as probe,
        ):
            run(process)
            counted = finished(probe)
    ours = {power: count for power, count in powers(counted).items() if power < 16}
    theirs = results["@"]
    assert isinstance(theirs, list)
    agree(ours, {one["min"].bit_length() - 1: one["count"] for one in theirs if one["count"]})


def test_a_field_of_a_tracepoint_is_known_by_its_name() -> None:
    with tracefs(), workload() as process:
        with membench.probe(
            "tracepoint:syscalls:sys_exit_write", pids=[process.pid], histogram="ret"
        ) as probe:
            run(process)
            counted = finished(probe)
        with pytest.raises(UsageError, match="no operand `rett`") as raised:
            membench.probe("tracepoint:syscalls:sys_exit_write", histogram="rett")
        assert "ret" in (raised.value.hint or "")
    # 50 writes of each size: 1, 3, 10, 100, 1000, 5000; and the line of the workload itself.
    expected = {0: 50, 1: 50, 3: 50, 6: 50, 9: 50, 12: 50}
    found = powers(counted)
    assert {power: found[power] - (power == 2) for power in expected} == expected


def test_system_calls_are_as_many_as_strace_counts() -> None:
    command = ["strace", "-c", "-f", sys.executable, "-c", WORKLOAD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, **pipes) as process:
        run(process)
        _, told = process.communicate("end\n")
    strace = {
        line.split()[-1]: int(line.split()[3])
        for line in told.splitlines()
        if re.match(r"\s*\d+\.\d+\s", line) and line.split()[-1] != "total"
    }
    with tracefs():
        for call in ("getppid", "sendto", "accept4"):
            with (
                workload() as process,
                membench.probe(
                    f"tracepoint:syscalls:sys_enter_{call}", pids=[process.pid]
                ) as probe,
            ):
                run(process)
                assert finished(probe).count == strace[call], call
    assert strace["getppid"] == GETPPIDS


def ask(server: Memcached, requests: int) -> None:
    """Make requests one after the other, on one connection."""
    with connect(server.port) as client:
        for _ in range(requests):
            client.sendall(b"get nothing\r\n")
            answer = b""
            while not answer.endswith(b"END\r\n"):
                answer += client.recv(100)


@pytest.mark.memcached
def test_bytes_sent_on_a_port_are_those_that_memcached_says(server: Memcached) -> None:
    ask(server, 1)
    before = server.settled_stats()
    # The server's end alone: the client's has the port, too.
    with membench.probe(
        "tp_btf:sock_send_length", ports=[server.port], pids=[server.pid], histogram="ret"
    ) as probe:
        ask(server, 500)
        counted = finished(probe)
    after = server.settled_stats()
    assert counted.histogram is not None
    assert counted.histogram.mean == len(b"END\r\n")
    assert counted.count == int(after["cmd_get"]) - int(before["cmd_get"]) == 500


@pytest.mark.memcached
def test_another_port_is_filtered_in_the_kernel(server: Memcached) -> None:
    with membench.probe("tp_btf:sock_send_length", ports=[1]) as probe:
        ask(server, 50)
        assert finished(probe).count == 0


@pytest.mark.kernel
@pytest.mark.quick
@pytest.mark.parametrize("hook", ["uprobe:libc:getppid", "uretprobe:libc:getppid"])
def test_a_function_of_a_library_is_timed(hook: str) -> None:
    with membench.probe(hook, pids=[os.getpid()], latency=True, by="thread") as probe:
        for _ in range(GETPPIDS):
            LIBC.getppid()
        counted = finished(probe)
    # Other tests' calls of bpf(2) make the kernel skip runs, which it counts.
    assert GETPPIDS - counted.misses <= counted.count <= GETPPIDS
    assert counted.histogram is not None
    assert counted.histogram.unit == "ns"
    assert counted.histogram.count == counted.count
    assert counted.trap_ns > 0
    assert counted.cost_ns is not None
    assert counted.cost_ns > counted.trap_ns
    assert [group.id for group in counted.groups] == [threading.get_native_id()]


def test_a_result_has_the_value_that_was_returned() -> None:
    parent = os.getppid()
    with membench.probe(
        "uretprobe:libc:getppid",
        pids=[os.getpid()],
        histogram="ret:i32",
        linear=(parent, parent + 10, 1),
    ) as probe:
        for _ in range(GETPPIDS):
            LIBC.getppid()
        counted = finished(probe)
    assert counted.histogram is not None
    (bucket,) = counted.histogram.buckets
    assert bucket == membench.Bucket(parent, parent + 1, GETPPIDS)


def test_calls_are_timed_from_one_tracepoint_to_the_other() -> None:
    with (
        tracefs(),
        workload() as process,
        membench.probe(
            "tracepoint:syscalls:sys_enter_getppid", pids=[process.pid], latency=True
        ) as probe,
    ):
        run(process)
        counted = finished(probe)
    assert counted.count == GETPPIDS
    assert counted.histogram is not None
    assert counted.histogram.mean is not None
    assert counted.histogram.mean > 0
    assert counted.lost == membench.LostHits(0, 0, 0, 0)


@pytest.mark.memcached
def test_an_end_is_not_without_its_beginning_while_the_probe_ends(server: Memcached) -> None:
    with connect(server.port) as client:
        client.sendall(b"get nothing\r\n")
        stop = threading.Event()

        def keep_asking() -> None:
            while not stop.is_set():
                client.recv(100)
                client.sendall(b"get nothing\r\n")

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            with membench.probe("uprobe:libc:sendmsg", pids=[server.pid], latency=True) as probe:
                until(lambda: probe.take().count > 0, "a hit")
                counted = finished(probe)
        finally:
            stop.set()
            asking.join()
    # Calls go on while the programs are detached, thousands a second; the first may be under way.
    assert counted.lost.unpaired <= 1


def test_threads_are_chosen_by_name_and_by_group() -> None:
    with workload() as process:
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
        with (
            membench.probe("tp_btf:sys_enter", pids=[process.pid], comms=[name]) as named,
            membench.probe("tp_btf:sys_enter", pids=[process.pid], comms=["no-such"]) as other,
            membench.probe(
                "tp_btf:sys_enter", pids=[process.pid], cgroups=[cgroup()], by="process"
            ) as grouped,
        ):
            run(process)
            assert finished(named).count > GETPPIDS
            assert finished(other).count == 0
            (group,) = finished(grouped).groups
    assert (group.id, group.name) == (process.pid, name)


def busy(seconds: float) -> None:
    """Use a CPU for some of its time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.kernel
@pytest.mark.quick
def test_stacks_lead_to_the_function_that_was_called(tmp_path: Path) -> None:
    with membench.probe("uprobe:libc:getppid", pids=[os.getpid()], stacks=True, top=3) as probe:
        for _ in range(GETPPIDS):
            LIBC.getppid()
        counted = finished(probe)
        probe.flame_graph(tmp_path / "graph.svg")
        folded = probe.folded()
    assert counted.lost.unstacked == 0
    assert counted.stacks[0].frames[0].lstrip("_") in ("getppid", "libc_getppid")
    assert sum(int(line.rsplit(" ", 1)[1]) for line in folded) == GETPPIDS
    drawn = (tmp_path / "graph.svg").read_text()
    assert "getppid" in drawn
    assert drawn.endswith(("</svg>\n", "</svg>"))


def test_a_profile_finds_the_process_that_is_busy() -> None:
    with membench.probe(
        "perf:cpu-clock@199", pids=[os.getpid()], by="process", stacks=True
    ) as probe:
        busy(0.5)
        counted = finished(probe)
    assert [group.id for group in counted.groups] == [os.getpid()]
    assert counted.count > 20
    assert counted.stacks_seen > 0


def test_each_interval_is_a_line_of_json() -> None:
    options = ("--interval", "200ms", "-d", "1s", "--by", "cpu", "--format", "json")
    done = cli("probe", "tp_btf:sched_switch", *options).expect(0)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) >= 2
    for line in lines:
        assert line.keys() >= FIELDS
        assert line["hook"] == "tp_btf:sched_switch"
    assert sum(line["count"] for line in lines) > 0
    assert sum(line["interval_s"] for line in lines) == pytest.approx(lines[-1]["elapsed_s"])


def test_a_probe_that_costs_too_much_ends_by_itself() -> None:
    with started([sys.executable, "-c", "import os\nwhile True: os.getppid()"]) as process:
        done = cli(
            "probe", "tp_btf:sys_enter", "--pid", str(process.pid), "--max-cost", "0.01%",
            "-d", "1h",
        )  # fmt: skip
    done.expect(4)
    assert "ended by itself" in done.stderr
    assert "--max-cost 0.01%" in done.stderr


def test_ctrl_c_prints_what_was_counted() -> None:
    command = [*COMMAND, "probe", "tp_btf:sched_switch"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, env=environment(), **pipes) as process:
        assert process.stderr is not None
        assert "Ctrl-C ends" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    assert process.returncode == 0
    assert "tp_btf:sched_switch" in told
    assert "of one CPU" in told or "no hit" in told


def python_with_probes() -> Path:
    """Return an interpreter whose authors placed probes in it; skip where there is none."""
    for path in (Path(sys.executable).resolve(), Path("/usr/bin/python3").resolve()):
        if any(
            one.hook.endswith(":python:gc__start") for one in membench.find_hooks(f"usdt:{path}")
        ):
            return path
    pytest.skip("no interpreter here was built with probes (--with-dtrace)")


COLLECTING = """
import gc, sys
gc.disable()
sys.stdin.readline()
for _ in range(300):
    gc.collect(1)
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.kernel
def test_a_probe_that_the_author_placed_is_turned_on_and_has_its_arguments() -> None:
    path = python_with_probes()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        started([str(path), "-c", COLLECTING], **pipes) as process,
        membench.probe(
            f"usdt:{path}:python:gc__start", pids=[process.pid], histogram="arg0"
        ) as probe,
    ):
        run(process)
        counted = finished(probe)
    assert counted.count == 300
    assert counted.histogram is not None
    assert counted.histogram.buckets == (membench.Bucket(1, 2, 300),)
    with pytest.raises(UsageError, match=r"no probe `python:gc__stat`") as raised:
        membench.probe(f"usdt:{path}:python:gc__stat")
    assert "python:gc__start" in (raised.value.hint or "")


@pytest.mark.kernel
def test_a_program_of_bpf_counts_at_a_probe_that_the_author_placed() -> None:
    path = python_with_probes()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        started([str(path), "-c", COLLECTING], **pipes) as process,
        bpf.Object.open(counter("uprobe")) as found,
    ):
        found.load()
        target = bpf.Usdt(path, "python", "gc__done", pid=process.pid)
        link = found.programs["count"].attach(target)
        run(process)
        assert found.globals["hits"] == 300
        link.detach()
        with pytest.raises(bpf.NotFound):
            found.programs["count"].attach(bpf.Usdt(path, "python", "nothing"))


@pytest.mark.kernel
@pytest.mark.quick
@pytest.mark.skipif(release() < (6, 10), reason="such links keep to a process from Linux 6.10 on")
def test_the_functions_that_a_pattern_matches_are_counted_one_by_one() -> None:
    calls = {"getppid": GETPPIDS, "getpid": 70, "getsid": 7}
    hook = "uprobe:libc:get?*id"
    with membench.probe(hook, pids=[os.getpid()]) as probe:
        for name, times in calls.items():
            for _ in range(times):
                getattr(LIBC, name)(0)
        counted = finished(probe)
    assert set(calls) <= set(probe.functions)
    assert all(re.search("get.+id$", name) for name in probe.functions)
    found = {group.name: group.count for group in counted.groups}
    # Other tests' calls of bpf(2) make the kernel skip runs, which it counts.
    for name, times in calls.items():
        assert times - counted.misses <= found[name] <= times + (name == "getpid")
    assert counted.count == sum(found.values())
    assert [group.id for group in counted.groups] == [None] * len(found)


def test_results_of_a_pattern_are_counted_one_by_one() -> None:
    with membench.probe("uretprobe:libc:getp*id", pids=[os.getpid()], histogram="ret:i32") as probe:
        for _ in range(GETPPIDS):
            LIBC.getppid()
        counted = finished(probe)
    group = counted.groups[0]
    assert group.name == "getppid"
    assert group.histogram is not None
    assert group.histogram.mean == os.getppid()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"latency": True}, "--latency"),
        ({"by": "process"}, "--by"),
        ({"ports": [11211]}, "--port"),
    ],
)
def test_a_pattern_takes_no_option_of_a_single_function(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        membench.probe("uprobe:libc:get*id", **options)


def test_a_pattern_that_matches_nothing_or_is_of_another_kind_is_refused() -> None:
    for hook in ("uprobe:libc:nothing_of_*", "kprobe:nothing_of_*"):
        with pytest.raises(UsageError, match="has no function `nothing_of_"):
            membench.probe(hook)
    for hook in ("fentry:tcp_*", "fexit:tcp_*", "kprobe:tcp_*+4"):
        with pytest.raises(UsageError) as raised:
            membench.probe(hook)
        assert "kprobe:PATTERN" in (raised.value.hint or "")


@pytest.mark.quick
@pytest.mark.kernel
def test_kernel_functions_that_a_pattern_matches_are_counted_one_by_one() -> None:
    # Functions of calls without arguments have two names, of which the kernel lists either.
    try:
        probe = membench.probe("kprobe:__x64_sys_get*id", pids=[os.getpid()])
    except CaptureUnavailableError as error:
        if Path("/sys/bus/event_source/devices/kprobe").exists() and release() >= (5, 18):
            raise
        pytest.skip(f"not on this kernel: {error}")
    with probe:
        for _ in range(GETPPIDS):
            os.getpgid(0)
        for _ in range(70):
            os.getsid(0)
        counted = finished(probe)
    found = {group.name: group.count for group in counted.groups}
    assert found["__x64_sys_getpgid"] == GETPPIDS
    assert found["__x64_sys_getsid"] == 70
    assert {"__x64_sys_getpgid", "__x64_sys_getsid"} <= set(probe.functions)


def test_a_graph_is_not_drawn_over_a_file(tmp_path: Path) -> None:
    drawn = tmp_path / "graph.svg"
    drawn.write_text("kept")
    arguments = ("probe", "perf:cpu-clock@199", "-d", "300ms", "--flame", str(drawn))
    done = cli(*arguments).expect(2)
    assert "--force" in done.stderr
    assert drawn.read_text() == "kept"
    cli(*arguments, "--force").expect(0)
    assert drawn.read_text().rstrip().endswith("</svg>")
    # A probe that does not begin leaves no file.
    new = tmp_path / "new.svg"
    cli("probe", "tp_btf:no_such", "--flame", str(new)).expect(2)
    assert not new.exists()


@pytest.mark.kernel
@pytest.mark.quick
def test_nothing_stays_in_the_kernel_after_kill_9() -> None:
    command = [*COMMAND, "probe", "tp_btf:sched_process_exec", "-d", "1h"]
    with started(command, env=environment()) as process:

        def kinds() -> set[str]:
            return {one.kind for one in kernel_objects_of(process.pid)}

        until(lambda: "link_id" in kinds() or process.poll() is not None, "the probe")
        assert process.poll() is None
        held = kernel_objects_of(process.pid)
        assert {one.kind for one in held} == {"prog_id", "map_id", "link_id"}
        process.kill()
        process.wait()
        wait_until_gone(held, "a killed process")


@pytest.mark.kernel
@pytest.mark.quick
def test_two_capabilities_observe_tracepoints() -> None:
    prefix = with_capabilities("bpf", "perfmon")
    options = ("-d", "500ms", "--format", "json")
    done = cli("probe", "tp_btf:sched_switch", *options, prefix=prefix).expect(0)
    line = json.loads(done.stdout)
    assert line["count"] > 0
    # The kernel counts runs for CAP_SYS_ADMIN only; the programs measure themselves.
    assert line["cost_ns"] > 0


@pytest.mark.parametrize(
    ("held", "hook", "missing"),
    [
        ((), "tp_btf:sched_switch", "CAP_BPF, CAP_PERFMON"),
        (("bpf",), "tp_btf:sched_switch", "CAP_PERFMON"),
        (("bpf", "perfmon"), "uprobe:libc:getppid", "CAP_SYS_ADMIN"),
        (("bpf", "perfmon"), "uprobe:libc:getp*id", "CAP_SYS_ADMIN"),
    ],
)
def test_a_missing_capability_is_named(held: tuple[str, ...], hook: str, missing: str) -> None:
    done = cli("probe", hook, "-d", "1s", prefix=with_capabilities(*held)).expect(5)
    assert f"Missing: {missing}" in done.stderr
    assert "hint:" in done.stderr


def test_a_name_that_nobody_has_is_told_those_like_it() -> None:
    for hook, like in (
        ("tp_btf:sched_swich", "sched_switch"),
        ("kprobe:tcp_sendmesg", "tcp_sendmsg"),
        ("fentry:tcp_sendmesg", "tcp_sendmsg"),
        ("uprobe:libc:getppidd", "getppid"),
    ):
        with pytest.raises(UsageError) as raised:
            membench.probe(hook)
        assert like in (raised.value.hint or ""), hook


def test_a_kind_of_hook_that_the_kernel_lacks_says_what_brings_it() -> None:
    if Path("/sys/bus/event_source/devices/kprobe").exists():
        pytest.skip("this kernel has kprobes")
    with pytest.raises(CaptureUnavailableError) as raised:
        membench.probe("kprobe:tcp_sendmsg", ports=[11211])
    assert "CONFIG_KPROBES" in (raised.value.hint or "")


def test_hooks_are_found_and_say_whether_they_would_work() -> None:
    found = {one.hook: one for one in membench.find_hooks("tcp_retransmit_s*")}
    assert found["tp_btf:tcp_retransmit_skb"].works
    has_kprobes = Path("/sys/bus/event_source/devices/kprobe").exists()
    kprobe = found["kprobe:tcp_retransmit_skb"]
    assert kprobe.works == has_kprobes
    assert has_kprobes or "CONFIG_KPROBE_EVENTS" in (kprobe.reason or "")
    told = cli("probe", "--list", "tp_btf:sched_switc*").expect(0).stdout
    assert "tp_btf:sched_switch" in told
    assert "1 of 1 hook would work here" in told
    functions = {one.hook for one in membench.find_hooks("uprobe:libc:getppid")}
    assert any(hook.endswith(":getppid") for hook in functions)


def test_an_address_of_a_stack_has_the_name_of_its_function() -> None:
    function = ctypes.cast(LIBC.getppid, ctypes.c_void_p).value
    assert function is not None
    (name,) = bpf.symbolize([function], pid=os.getpid())
    assert name.endswith("getppid")
