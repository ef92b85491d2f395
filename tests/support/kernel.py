"""This kernel's type information → the tier it can be recorded with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

TYPES = Path("/sys/kernel/btf/vmlinux")
#: A tracepoint of each tier, the one that is preferred first.
TRACEPOINTS = {"T1": "sock_recv_length", "T2": "sys_exit"}


@cache
def default_tier() -> str | None:
    """The first tier whose tracepoints this kernel has."""
    types = TYPES.read_bytes()
    declared = (
        tier for tier, name in TRACEPOINTS.items() if b"\0btf_trace_%b\0" % name.encode() in types
    )
    return next(declared, None)


def has_links() -> bool:
    """Whether this kernel attaches programs to interfaces by links (TCX)."""
    release = Path("/proc/sys/kernel/osrelease").read_text().split(".")
    return (int(release[0]), int(release[1])) >= (6, 6)
