"""This kernel's type information → the hooks it can be recorded with."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

TYPES = Path("/sys/kernel/btf/vmlinux")
#: A tracepoint of each kind of hooks, the preferred kind first.
TRACEPOINTS = {"sockets": "sock_recv_length", "syscalls": "sys_exit"}
#: True if only the hooks that the kernel is recorded with by default are tested.
OWN_HOOKS = bool(os.environ.get("MEMBENCH_OWN_HOOKS"))
#: First kernel on which tracing programs can ask for a task's control groups.
TRACES_CGROUPS = (5, 15)


def release() -> tuple[int, ...]:
    """Return this kernel's series, as (6, 12)."""
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


@cache
def default_hooks() -> str | None:
    """Return the preferred hooks of those whose tracepoints this kernel has."""
    types = TYPES.read_bytes() if TYPES.exists() else b""
    declared = (
        hooks for hooks, name in TRACEPOINTS.items() if b"\0btf_trace_%b\0" % name.encode() in types
    )
    return next(declared, None)


def all_hooks() -> list[str]:
    """Return the hooks to test here: all, or the kernel's default."""
    own = default_hooks()
    return [own] if OWN_HOOKS and own else sorted(TRACEPOINTS)


def has_tcx() -> bool:
    """Return true if this kernel attaches programs to interfaces by links (TCX)."""
    return release() >= (6, 6)


#: Marks tests of behaviour that only the `sockets` hooks have.
needs_sockets = pytest.mark.skipif(
    default_hooks() != "sockets", reason="this kernel has no sock_recv_length tracepoint"
)
