"""This kernel's type information → the tier it can be recorded with."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

TYPES = Path("/sys/kernel/btf/vmlinux")
#: A tracepoint of each tier, the one that is preferred first.
TRACEPOINTS = {"T1": "sock_recv_length", "T2": "sys_exit"}
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


def needs_t1(what: str) -> pytest.MarkDecorator:
    """Skip where T2 is all there is, which does not follow `what`."""
    return pytest.mark.skipif(default_tier() == "T2", reason=f"T2 does not follow {what}")
