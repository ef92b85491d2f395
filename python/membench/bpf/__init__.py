"""Load any eBPF object from Python: no compiler, no kernel headers, in any virtual environment.

with bpf.Object.open("count.bpf.o") as object:
    object.globals["port"] = 11211
    object.load()
    object.programs["count"].attach(bpf.TpBtf("sched_switch"))
    object.maps["hist"][3]

docs/bpf.md describes it.
"""

from __future__ import annotations

from membench.bpf._compile import compile  # noqa: A004 - `bpf.compile`
from membench.bpf._errors import (
    AlreadyAttached,
    CompileError,
    CompilerMissing,
    InvalidHandle,
    KernelError,
    NotFound,
    PermissionError,  # noqa: A004 - it is one
    Unsupported,
    VerifierError,
)
from membench.bpf._features import Features, features
from membench.bpf._link import Link, PinnedProgram, open_pinned, unpin
from membench.bpf._listing import (
    Listing,
    LoadedLink,
    LoadedMap,
    LoadedProgram,
    count_runs,
    list,  # noqa: A004 - `bpf.list`
)
from membench.bpf._map import Map, Memory
from membench.bpf._object import Globals, Object, Program
from membench.bpf._ring import Ring
from membench.bpf._symbols import symbolize
from membench.bpf._targets import (
    Cgroup,
    Fentry,
    Fexit,
    Iter,
    Kprobe,
    KprobeMulti,
    Lsm,
    PerfEvent,
    RawTp,
    SockOps,
    Target,
    Tc,
    Tcx,
    TpBtf,
    Tracepoint,
    Uprobe,
    UprobeMulti,
    Usdt,
    Xdp,
)
from membench.bpf._types import Record, Type, Types

__all__ = [
    "AlreadyAttached",
    "Cgroup",
    "CompileError",
    "CompilerMissing",
    "Features",
    "Fentry",
    "Fexit",
    "Globals",
    "InvalidHandle",
    "Iter",
    "KernelError",
    "Kprobe",
    "KprobeMulti",
    "Link",
    "Listing",
    "LoadedLink",
    "LoadedMap",
    "LoadedProgram",
    "Lsm",
    "Map",
    "Memory",
    "NotFound",
    "Object",
    "PerfEvent",
    "PermissionError",
    "PinnedProgram",
    "Program",
    "RawTp",
    "Record",
    "Ring",
    "SockOps",
    "Target",
    "Tc",
    "Tcx",
    "TpBtf",
    "Tracepoint",
    "Type",
    "Types",
    "Unsupported",
    "Uprobe",
    "UprobeMulti",
    "Usdt",
    "VerifierError",
    "Xdp",
    "compile",
    "count_runs",
    "features",
    "list",
    "open_pinned",
    "symbolize",
    "unpin",
]
