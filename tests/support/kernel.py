"""This kernel's type information → the tier it can be recorded with."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

TYPES = Path("/sys/kernel/btf/vmlinux")
#: A tracepoint of each tier, the one that is preferred first.
TRACEPOINTS = {"T1": "sock_recv_length", "T2": "sys_exit"}
#: Whether each kernel is to be tried with the tier it is recorded with by itself alone.
OWN_TIER = bool(os.environ.get("MEMBENCH_OWN_TIER"))
#: Before, tracing programs cannot ask in which control groups a task is.
TRACES_CGROUPS = (5, 15)


def release() -> tuple[int, ...]:
    """Return this kernel's series, as (6, 12)."""
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


@cache
def default_tier() -> str | None:
    """The first tier whose tracepoints this kernel has."""
    types = TYPES.read_bytes() if TYPES.exists() else b""
    declared = (
        tier for tier, name in TRACEPOINTS.items() if b"\0btf_trace_%b\0" % name.encode() in types
    )
    return next(declared, None)


def tiers() -> list[str]:
    """The tiers to be tried here: each, or the kernel's own."""
    own = default_tier()
    return [own] if OWN_TIER and own else sorted(TRACEPOINTS)


def has_links() -> bool:
    """Whether this kernel attaches programs to interfaces by links (TCX)."""
    return release() >= (6, 6)


#: For what only the hooks of sockets see.
needs_t1 = pytest.mark.skipif(
    default_tier() != "T1", reason="this kernel has no sock_recv_length tracepoint"
)
