"""/proc, /sys → what this machine's kernel allows whom."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_UNPRIVILEGED = {"0": "allowed", "1": "off until reboot", "2": "off"}
_SECCOMP = {"0": "off", "1": "strict", "2": "filter"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides who may load which programs; None is what could not be read.

    Attributes:
        unprivileged_bpf: Whether programs may be loaded without capabilities.
        perf_event_paranoid: As the kernel has it; above 1 it takes CAP_PERFMON.
        jit: Whether programs become machine code.
        modules: Security modules that are active.
        seccomp: Whether this process's system calls are filtered (`filter`, in containers).
        autogroup: Whether niceness counts within a session only.
        virtual: What this machine runs in, as its firmware says.
    """

    unprivileged_bpf: str | None
    perf_event_paranoid: int | None
    jit: bool | None
    modules: tuple[str, ...]
    seccomp: str | None
    autogroup: bool | None
    virtual: str | None


def read_policy(root: Path = Path("/")) -> Policy:
    """Look at this machine."""
    kernel = root / "proc/sys/kernel"
    paranoid = _read(kernel / "perf_event_paranoid")
    jit = _read(root / "proc/sys/net/core/bpf_jit_enable")
    autogroup = _read(kernel / "sched_autogroup_enabled")
    modules = _read(root / "sys/kernel/security/lsm")
    return Policy(
        unprivileged_bpf=_UNPRIVILEGED.get(_read(kernel / "unprivileged_bpf_disabled")),
        perf_event_paranoid=int(paranoid) if paranoid.lstrip("-").isdigit() else None,
        jit=jit != "0" if jit else None,
        modules=tuple(modules.split(",")) if modules else (),
        seccomp=parse_seccomp(_read(root / "proc/self/status")),
        autogroup=autogroup == "1" if autogroup else None,
        virtual=_read(root / "sys/class/dmi/id/sys_vendor") or None,
    )


def parse_seccomp(status: str) -> str | None:
    """Read whether system calls are filtered from a `/proc/PID/status`."""
    for line in status.splitlines():
        if line.startswith("Seccomp:"):
            return _SECCOMP.get(line.split()[1])
    return None


def can_see_others(root: Path = Path("/")) -> bool:
    """Whether others' open files can be listed, which naming a server's process takes."""
    try:
        next((root / "proc/1/fd").iterdir(), None)
    except OSError:
        return os.geteuid() == 0
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
