"""Each kind of target: a program that counts gives the known number of events."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from membench import bpf
from support.bpf_mounts import cgroup, tracefs
from support.bpf_programs import PRELUDE, compiled, counter
from support.exclusive import exclusive
from support.kernel import has_tcx
from support.ports import free_port

pytestmark = [pytest.mark.root, pytest.mark.kernel]

N = 300
X86 = platform.machine() == "x86_64"
GETPPID = 110 if X86 else 173
LIBC = ctypes.CDLL(None)
IS_CALL = "ours() && ctx[1] == wanted"


def make_calls() -> None:
    for _ in range(N):
        os.getppid()
        os.getpgid(0)


@contextmanager
def attached(
    data: bytes, target: bpf.Target, *, wanted: int = GETPPID, limit: int = 0
) -> Iterator[bpf.Object]:
    """Load `count` for this process and attach it; skip where this kernel has no such targets."""
    with bpf.Object.open(data) as found:
        values = {"pid": os.getpid(), "wanted": wanted, "limit": limit}
        # The compiler drops those that the program does not use.
        for name in values.keys() & found.globals.keys():
            found.globals[name] = values[name]
        program = found.programs["count"]
        try:
            found.load(only=["count"])
            program.attach(target)
        except bpf.Unsupported as error:
            pytest.skip(f"not on this kernel: {error}")
        except bpf.PermissionError as error:
            if program.kind in ("fentry", "fexit", "lsm") and not error.missing:
                pytest.skip(f"a policy of this machine forbids it: {error}")
            raise
        yield found


@dataclass(frozen=True)
class Case:
    section: str
    target: bpf.Target
    context: str = "void"
    condition: str = "ours()"
    needs_tracefs: bool = False


# getppid takes no arguments, so its entry has no type that a program could be checked against.
FUNCTION = f"__{'x64' if X86 else 'arm64'}_sys_getpgid"
CALLS = {
    "tp_btf": Case("tp_btf", bpf.TpBtf("sys_enter"), "unsigned long long", IS_CALL),
    "raw_tp": Case("raw_tp", bpf.RawTp("sys_enter"), "struct bpf_raw_tracepoint_args",
                   "ours() && ctx->args[1] == wanted"),
    "tracepoint": Case("tracepoint", bpf.Tracepoint("syscalls", "sys_enter_getppid"),
                       needs_tracefs=True),
    "kprobe": Case("kprobe", bpf.Kprobe(FUNCTION)),
    "kretprobe": Case("kretprobe", bpf.Kprobe(FUNCTION, ret=True)),
    "fentry": Case("fentry", bpf.Fentry(FUNCTION)),
    "fexit": Case("fexit", bpf.Fexit(FUNCTION)),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
def attached_to_many(found: bpf.Object, target: bpf.Target) -> None:
    """Load and attach `count`; skip where this kernel has no such links."""
    found.globals["pid"] = os.getpid()
    found.load()
    try:
        found.programs["count"].attach(target)
    except bpf.Unsupported as error:
        pytest.skip(f"not on this kernel: {error}")


@pytest.mark.parametrize("ret", [False, True])
def test_functions_of_a_library_that_match_a_pattern_are_counted(ret: bool) -> None:
    section = "uretprobe" if ret else "uprobe"
    with bpf.Object.open(counter(section, condition="ours()")) as found:
        target = bpf.UprobeMulti(library(), "getp?id", ret=ret, pid=os.getpid())
        attached_to_many(found, target)
        for _ in range(N):
            LIBC.getppid()
            LIBC.getpgid(0)
        assert found.globals["hits"] == 2 * N
        with pytest.raises(bpf.NotFound, match="no function matches"):
            found.programs["count"].attach(bpf.UprobeMulti(library(), "no_such_*", ret=ret))


@pytest.mark.parametrize("ret", [False, True])
def test_functions_of_the_kernel_that_match_a_pattern_are_counted(ret: bool) -> None:
    section = "kretprobe" if ret else "kprobe"
    # Calls without arguments have several names, of which the kernel lists another one.
    pattern = FUNCTION.replace("getpgid", "get*id")
    with tracefs(), bpf.Object.open(counter(section, condition="ours()")) as found:
        attached_to_many(found, bpf.KprobeMulti(pattern, ret=ret))
        for _ in range(N):
            os.getpgid(0)
            os.getsid(0)
        assert found.globals["hits"] == 2 * N


def library() -> Path:
    """Return the file of the C library that this process has loaded."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(line.split()[-1])
        if path.name.startswith("libc.so") or path.name.startswith("libc-"):
            return path
    raise AssertionError("no C library is loaded")


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
def test_a_counter_of_a_system_call_gives_the_number_of_calls(case: Case) -> None:
    data = counter(case.section, case.context, case.condition)
    mounted = tracefs() if case.needs_tracefs else nullcontext()
    with mounted, attached(data, case.target) as found:
        make_calls()
        assert found.globals["hits"] == N
        for link in found.programs["count"].links:
            link.detach()
        make_calls()
        assert found.globals["hits"] == N


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_counter_of_a_users_function_gives_the_number_of_calls(
    returns: bool, everywhere: bool
) -> None:
    data = counter("uretprobe" if returns else "uprobe", condition="ours()")
    target = bpf.Uprobe("libc.so.6", "getppid", ret=returns, pid=os.getpid())
    if everywhere:
        target = bpf.Uprobe(libc_path(), "getppid", ret=returns)
    with attached(data, target) as found:
        for _ in range(N):
            LIBC.getppid()
        assert found.globals["hits"] == N


def libc_path() -> Path:
    maps = Path("/proc/self/maps").read_text().split()
    return next(Path(word) for word in maps if "/libc.so" in word or "/libc-" in word)


def test_a_counter_of_page_faults_gives_the_number_of_pages_that_were_touched() -> None:
    area = mmap.mmap(-1, N * mmap.PAGESIZE)
    area.madvise(15)  # MADV_NOHUGEPAGE
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    data = counter(
        "perf_event",
        "struct bpf_perf_event_data",
        "ours() && ctx->addr >= wanted && ctx->addr < limit",
    )
    target = bpf.PerfEvent("page-faults", period=1, pid=os.getpid())
    end = start + N * mmap.PAGESIZE
    with attached(data, target, wanted=start, limit=end) as found:
        for page in range(N):
            ctypes.memset(start + page * mmap.PAGESIZE, 1, 1)
        assert found.globals["hits"] == N


def test_a_clock_ticks_on_the_cpu_that_was_asked_for() -> None:
    data = counter("perf_event", condition="bpf_get_smp_processor_id() == wanted")
    other = counter("perf_event", condition="bpf_get_smp_processor_id() != wanted")
    cpu = min(os.sched_getaffinity(0))
    target = bpf.PerfEvent("cpu-clock", hz=999, cpu=cpu)
    with attached(data, target, wanted=cpu) as one, attached(other, target, wanted=cpu) as none:
        until_positive(lambda: int(one.globals["hits"]))
        assert none.globals["hits"] == 0


def until_positive(read: Callable[[], int]) -> None:
    while read() == 0:
        os.getppid()


def send_datagrams(port: int, count: int = N) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(count):
                sender.sendto(b"datagram", ("127.0.0.1", port))
                receiver.recv(16)


# The destination port of a UDP datagram behind an Ethernet header and an IPv4 one without options.
OF_PORT = """({
    __u16 to = 0; __u8 kind = 0;
    bpf_skb_load_bytes(ctx, AT + 9, &kind, 1);
    bpf_skb_load_bytes(ctx, AT + 22, &to, 2);
    kind == 17 && bpf_ntohs(to) == wanted; })"""
OF_PORT_XDP = """({
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    int found = 0;
    if (data + 38 <= end)
        found = *(__u8 *)(data + 23) == 17 && bpf_ntohs(*(__u16 *)(data + 36)) == wanted;
    found; })"""
PACKETS = {
    "tcx ingress": ("classifier", bpf.Tcx("lo", "ingress"), "__sk_buff", -1),
    "tcx egress": ("classifier", bpf.Tcx("lo", "egress"), "__sk_buff", -1),
    "tc ingress": ("classifier", bpf.Tc("lo", "ingress"), "__sk_buff", -1),
    "tc egress": ("classifier", bpf.Tc("lo", "egress"), "__sk_buff", -1),
    "xdp": ("xdp", bpf.Xdp("lo", "generic"), "xdp_md", 2),
    "cgroup_skb": ("cgroup/skb", bpf.Cgroup("", "ingress"), "__sk_buff", 1),
    "cgroup_skb section": ("cgroup_skb/egress", bpf.Cgroup(""), "__sk_buff", 1),
}


@pytest.mark.parametrize("name", PACKETS)
def test_a_counter_of_packets_gives_the_number_of_datagrams(name: str) -> None:
    section, target, context, result = PACKETS[name]
    if isinstance(target, bpf.Tcx) and not has_tcx():
        pytest.skip("this kernel has no TCX")
    if isinstance(target, bpf.Cgroup):
        target = bpf.Cgroup(cgroup(), target.kind)
    condition = OF_PORT_XDP if section == "xdp" else OF_PORT
    begin = "0" if section.startswith("cgroup") else "14"
    data = counter(section, f"struct {context}", condition.replace("AT", begin), result)
    port = free_port()
    with exclusive("filters of lo"), attached(data, target, wanted=port) as found:
        send_datagrams(port)
        assert found.globals["hits"] == N


def connect(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        for _ in range(N):
            with socket.create_connection(("127.0.0.1", port)):
                server.accept()[0].close()


def test_a_counter_of_connections_gives_their_number() -> None:
    # BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB
    condition = "ctx->op == 4 && bpf_ntohl(ctx->remote_port) == wanted"
    data = counter("sockops", "struct bpf_sock_ops", condition)
    port = free_port()
    with attached(data, bpf.SockOps(cgroup()), wanted=port) as found:
        connect(port)
        assert found.globals["hits"] == N


def test_a_counter_of_connect_calls_of_a_group_gives_their_number() -> None:
    condition = "bpf_ntohs(ctx->user_port) == wanted"
    data = counter("cgroup/connect4", "struct bpf_sock_addr", condition, 1)
    port = free_port()
    with attached(data, bpf.Cgroup(cgroup()), wanted=port) as found:
        connect(port)
        assert found.globals["hits"] == N


def test_a_counter_of_a_security_hook_gives_the_number_of_calls() -> None:
    data = counter("lsm", condition="ours()")
    with attached(data, bpf.Lsm("task_getscheduler")) as found:
        for _ in range(N):
            os.sched_getscheduler(0)
        if found.globals["hits"] == 0:
            pytest.skip("`bpf` is not among the active security modules: /sys/kernel/security/lsm")
        assert found.globals["hits"] == N


ITERATOR = f"""{PRELUDE}
struct task_struct {{
    int pid;
    int tgid;
}} __attribute__((preserve_access_index));

struct seq_file;
struct bpf_iter_meta {{
    struct seq_file *seq;
}} __attribute__((preserve_access_index));

struct bpf_iter__task {{
    struct bpf_iter_meta *meta;
    struct task_struct *task;
}} __attribute__((preserve_access_index));

SEC("iter/task")
int count(struct bpf_iter__task *ctx)
{{
    struct task_struct *task = ctx->task;

    if (task && task->tgid == pid) {{
        int number = task->pid;

        hit();
        bpf_seq_write(ctx->meta->seq, &number, sizeof(number));
    }}
    return 0;
}}
"""


def test_an_iterator_gives_the_threads_that_proc_lists() -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    try:
        with attached(compiled(ITERATOR), bpf.Iter("task")) as found:
            (link,) = found.programs["count"].links
            data = link.read()
            listed = {int(name) for name in os.listdir("/proc/self/task")}  # noqa: PTH208
            numbers = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
            assert set(numbers) == listed
            assert found.globals["hits"] == len(listed) == len(numbers)
            link.read()
            assert found.globals["hits"] == 2 * len(listed)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
