"""Programs in the manner of bcc's tools, compiled here: they answer as bpftrace answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from membench import bpf
from support.bpf_programs import PRELUDE, compiled
from support.bpftrace import agree, bpftrace, run, workload

pytestmark = [pytest.mark.root]

SYSCOUNT = f"""{PRELUDE}
struct {{
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 512);
    __type(key, __u32);
    __type(value, __u64);
}} counts SEC(".maps");

SEC("raw_tp/sys_enter")
int enter(struct bpf_raw_tracepoint_args *ctx)
{{
    __u32 call = ctx->args[1];
    __u64 zero = 0, *count;

    if (!ours())
        return 0;
    bpf_map_update_elem(&counts, &call, &zero, BPF_NOEXIST);
    count = bpf_map_lookup_elem(&counts, &call);
    if (count)
        __sync_fetch_and_add(count, 1);
    return 0;
}}
"""

# The argument of the system call is read through a relocation (CO-RE).
READSIZES = f"""{PRELUDE}
#define MAX_SLOTS 27
struct hist {{
    __u32 slots[MAX_SLOTS];
}};

struct {{
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct hist);
}} hists SEC(".maps");

struct task_struct {{
    int tgid;
}} __attribute__((preserve_access_index));

static __always_inline __u32 log2_of(__u64 value)
{{
    __u32 slot = 0;

    for (int bit = 1; bit < MAX_SLOTS; bit++)
        if (value >> bit)
            slot = bit;
    return slot;
}}

SEC("tp_btf/sys_exit")
int leave(unsigned long long *ctx)
{{
    struct task_struct *task = (void *)bpf_get_current_task_btf();
    struct pt_regs *unused;
    struct hist *hist;
    __u32 zero = 0, slot;
    long result = ctx[1];

    if (task->tgid != pid || result <= 0 || result > 65535)
        return 0;
    hist = bpf_map_lookup_elem(&hists, &zero);
    if (!hist)
        return 0;
    slot = log2_of(result);
    if (slot < MAX_SLOTS)
        __sync_fetch_and_add(&hist->slots[slot], 1);
    return 0;
}}
"""

TCPSEND = f"""{PRELUDE}
struct sent {{
    __u64 calls;
    __u64 bytes;
}};

struct {{
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct sent);
}} sent SEC(".maps");

SEC("tp_btf/sock_send_length")
int send(unsigned long long *ctx)
{{
    __u32 tgid = bpf_get_current_pid_tgid() >> 32;
    struct sent fresh = {{}}, *found;
    int result = ctx[1];

    if (tgid != pid || result <= 0)
        return 0;
    bpf_map_update_elem(&sent, &tgid, &fresh, BPF_NOEXIST);
    found = bpf_map_lookup_elem(&sent, &tgid);
    if (found) {{
        found->calls += 1;
        found->bytes += result;
    }}
    return 0;
}}
"""


def test_system_calls_are_counted_as_bpftrace_counts_them() -> None:
    results: dict[str, object] = {}
    with workload() as process, bpf.Object.open(compiled(SYSCOUNT)) as found:
        found.globals["pid"] = process.pid
        found.load()
        script = (
            f"tracepoint:raw_syscalls:sys_enter /pid == {process.pid}/ {{ @[args->id] = count(); }}"
        )
        with bpftrace(script, results):
            found.programs["enter"].attach()
            run(process)
            counted = found.maps["counts"].snapshot()
    theirs = results["@"]
    assert isinstance(theirs, dict)
    agree(counted, {int(call): count for call, count in theirs.items()})


def test_a_histogram_of_results_is_bpftraces() -> None:
    results: dict[str, object] = {}
    with workload() as process, bpf.Object.open(compiled(READSIZES)) as found:
        found.globals["pid"] = process.pid
        found.load()
        # bpftrace puts larger results, such as addresses, into slots of its own.
        condition = f"/pid == {process.pid} && args->ret > 0 && args->ret < 65536/"
        script = f"tracepoint:raw_syscalls:sys_exit {condition} {{ @ = hist(args->ret); }}"
        with bpftrace(script, results):
            found.programs["leave"].attach()
            run(process)
            slots = found.maps["hists"][0]["slots"]
    ours = {slot: count for slot, count in enumerate(slots) if count}
    theirs = results["@"]
    assert isinstance(theirs, list)
    agree(
        ours,
        {one["min"].bit_length() - 1: one["count"] for one in theirs if one["count"]},
    )


def test_bytes_sent_are_those_that_bpftrace_adds_up() -> None:
    if not Path("/sys/kernel/btf/vmlinux").read_bytes().count(b"btf_trace_sock_send_length"):
        pytest.skip("this kernel has no sock_send_length tracepoint")
    results: dict[str, object] = {}
    with workload() as process, bpf.Object.open(compiled(TCPSEND)) as found:
        found.globals["pid"] = process.pid
        found.load()
        condition = f"/pid == {process.pid} && args->ret > 0/"
        act = "{ @bytes = sum(args->ret); @calls = count(); }"
        with bpftrace(f"tracepoint:sock:sock_send_length {condition} {act}", results):
            found.programs["send"].attach()
            run(process)
            each = found.maps["sent"][process.pid]
    assert len(each) >= (os.cpu_count() or 1)
    assert sum(one["bytes"] for one in each) == results["@bytes"] == 60 * 333
    assert sum(one["calls"] for one in each) == results["@calls"] == 60
