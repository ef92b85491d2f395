"""/proc, /sys → the kernel's rules for loading programs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_UNPRIVILEGED = {"0": "allowed", "1": "off until reboot", "2": "off"}
_SECCOMP = {"0": "off", "1": "strict", "2": "filter"}


@dataclass(frozen=True, slots=True)
class KernelPolicy:
    """The kernel's rules for loading programs; None stands for a rule that could not be read.

    Attributes:
        unprivileged_bpf: `allowed` if programs may be loaded without capabilities, else `off` or
            `off until reboot`.
        perf_event_paranoid: The kernel's setting; above 1, tracing takes CAP_PERFMON.
        jit: True if programs are compiled to machine code.
        modules: Active security modules.
        seccomp: Filtering of this process's system calls: `off`, `strict` or `filter` (in
            containers).
        autogroup: True if niceness counts within a session only.
        virtual: The hardware's or hypervisor's vendor, from the firmware.
    """

    unprivileged_bpf: str | None
    perf_event_paranoid: int | None
    jit: bool | None
    modules: tuple[str, ...]
    seccomp: str | None
    autogroup: bool | None
    virtual: str | None


def read_policy(root: Path = Path("/")) -> KernelPolicy:
    """Read the rules of this machine's kernel."""
    kernel = root / "proc/sys/kernel"
    paranoid = _read(kernel / "perf_event_paranoid")
    jit = _read(root / "proc/sys/net/core/bpf_jit_enable")
    autogroup = _read(kernel / "sched_autogroup_enabled")
    modules = _read(root / "sys/kernel/security/lsm")
    return KernelPolicy(
        unprivileged_bpf=_UNPRIVILEGED.get(_read(kernel / "unprivileged_bpf_disabled")),
        perf_event_paranoid=int(paranoid) if paranoid.lstrip("-").isdigit() else None,
        jit=jit != "0" if jit else None,
        modules=tuple(modules.split(",")) if modules else (),
        seccomp=parse_seccomp(_read(root / "proc/self/status")),
        autogroup=autogroup == "1" if autogroup else None,
        virtual=_read(root / "sys/class/dmi/id/sys_vendor") or None,
    )


def parse_seccomp(status: str) -> str | None:
    """Read the filtering of system calls from a `/proc/PID/status`."""
    for line in status.splitlines():
        if line.startswith("Seccomp:"):
            return _SECCOMP.get(line.split()[1])
    return None


def can_see_others(root: Path = Path("/")) -> bool:
    """Return True if other processes' open files can be listed, which finding a server takes."""
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
