"""Programs in C for the tests of `membench.bpf`, as libbpf-bootstrap has them → their objects."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from membench import bpf

PRELUDE = """
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

char _license[] SEC("license") = "GPL";

const volatile __u32 pid = 0;
const volatile __u64 wanted = 0;
const volatile __u64 limit = 0;
__u64 hits = 0;

static __always_inline int ours(void)
{
    return bpf_get_current_pid_tgid() >> 32 == pid;
}

static __always_inline void hit(void)
{
    __sync_fetch_and_add(&hits, 1);
}
"""


@cache
def compiled(source: str) -> bytes:
    """Compile a program, once for all runs: in an emulated machine clang takes a minute.

    Where clang is missing the test is skipped, as root it fails.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "membench/test-objects")
    path = folder / f"{hashlib.sha256(source.encode()).hexdigest()}.o"
    if path.exists():
        return path.read_bytes()
    try:
        data = bpf.compile(source)
    except bpf.CompilerMissing as error:
        if os.geteuid() == 0:
            raise
        pytest.skip(str(error))
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(data)
        part.replace(path)
    return data


def counter(section: str, context: str = "void", condition: str = "1", result: int = 0) -> bytes:
    """Compile a program `count` that adds one to `hits` where the condition holds."""
    return compiled(
        f"""{PRELUDE}
SEC("{section}")
int count({context} *ctx)
{{
    if ({condition})
        hit();
    return {result};
}}
"""
    )


RECORDS = f"""{PRELUDE}
struct event {{
    __u64 number;
    __u32 tgid;
    char comm[16];
}};
const struct event *unused __attribute__((unused));

__u64 dropped = 0;
__u64 made = 0;

struct {{
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
}} events SEC(".maps");

SEC("tp_btf/sys_enter")
int record(unsigned long long *ctx)
{{
    struct event *event;

    if (!ours() || ctx[1] != wanted)
        return 0;
    __u64 number = __sync_fetch_and_add(&made, 1);
    event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (!event) {{
        __sync_fetch_and_add(&dropped, 1);
        return 0;
    }}
    event->number = number;
    event->tgid = pid;
    bpf_get_current_comm(event->comm, sizeof(event->comm));
    bpf_ringbuf_submit(event, 0);
    return 0;
}}
"""

SAMPLES = f"""{PRELUDE}
struct event {{
    __u64 number;
    __u32 tgid;
}};
const struct event *unused __attribute__((unused));

__u64 made = 0;

struct {{
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
}} events SEC(".maps");

SEC("tp_btf/sys_enter")
int record(unsigned long long *ctx)
{{
    struct event event = {{}};

    if (!ours() || ctx[1] != wanted)
        return 0;
    event.number = __sync_fetch_and_add(&made, 1);
    event.tgid = pid;
    bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
    return 0;
}}
"""

MAPS = f"""{PRELUDE}
enum color {{ RED = 1, GREEN = 2, BLUE = 3 }};

struct inner {{
    __s16 low;
    char letters[6];
}};

struct value {{
    __u64 total;
    __s32 least;
    __u8 octets[4];
    struct inner inner;
    enum color color;
    __u32 few : 3;
    __s32 rest : 29;
    union {{
        __u32 word;
        __u16 halves[2];
    }};
}};

struct key {{
    __u32 tgid;
    __u32 call;
}};

struct prefix {{
    __u32 prefixlen;
    __u8 address[4];
}};

struct {{
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, struct key);
    __type(value, struct value);
}} table SEC(".maps");

struct {{
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 64);
    __type(key, __u64);
    __type(value, __s64);
}} recent SEC(".maps");

struct {{
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 16);
    __type(key, __u32);
    __type(value, struct key);
}} slots SEC(".maps");

struct {{
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u32);
}} per_cpu SEC(".maps");

struct {{
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16);
    __type(key, struct prefix);
    __type(value, __u32);
}} routes SEC(".maps");

struct {{
    __uint(type, BPF_MAP_TYPE_STACK_TRACE);
    __uint(max_entries, 256);
    __uint(key_size, 4);
    __uint(value_size, 8 * 32);
}} stacks SEC(".maps");

__s32 stack = -1;

SEC("tp_btf/sys_enter")
int count(unsigned long long *ctx)
{{
    struct key key = {{ .tgid = pid, .call = ctx[1] }};
    struct value fresh = {{ .least = -7, .color = BLUE, .few = 5, .rest = -2 }};
    struct value *value;
    struct key *slot;
    __u32 zero = 0, *own;

    if (!ours() || ctx[1] != wanted)
        return 0;
    bpf_map_update_elem(&table, &key, &fresh, BPF_NOEXIST);
    value = bpf_map_lookup_elem(&table, &key);
    if (value)
        __sync_fetch_and_add(&value->total, 1);
    slot = bpf_map_lookup_elem(&slots, &zero);
    if (slot) {{
        slot->tgid = pid;
        __sync_fetch_and_add(&slot->call, 1);
    }}
    own = bpf_map_lookup_elem(&per_cpu, &zero);
    if (own)
        *own += 1;
    stack = bpf_get_stackid(ctx, &stacks, 0);
    hit();
    return 0;
}}
"""
