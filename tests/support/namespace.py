"""Network namespaces and control groups of our own, gone with their block."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
CGROUPS = "cgroup2"


class Namespace:
    """A network namespace with its loopback up, for as long as a process of ours holds it."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        """Of the process that holds it."""
        self.pid = holder.pid
        self.path = Path(f"/proc/{holder.pid}/ns/net")
        self.inode = self.path.stat().st_ino

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread in the namespace; sockets and processes made meanwhile stay there."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(self.path)
            yield
        finally:
            _check(ctypes.CDLL(None, use_errno=True).setns(outside, CLONE_NEWNET))
            os.close(outside)


def _enter(path: Path) -> None:
    there = os.open(path, os.O_RDONLY)
    try:
        _check(ctypes.CDLL(None, use_errno=True).setns(there, CLONE_NEWNET))
    finally:
        os.close(there)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A network namespace of our own."""
    script = "ip link set lo up && echo up && exec sleep 600"
    command = [shutil.which("unshare") or "unshare", "--net", "sh", "-c", script]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n", "no network namespace can be made here"
        yield Namespace(holder)
    finally:
        holder.kill()
        holder.communicate()


def cgroup_mount() -> Path | None:
    """Where control groups (v2) are mounted and can be made."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split(" ")
        if kind == CGROUPS and os.access(folder, os.W_OK):
            return Path(folder)
    return None


@contextmanager
def cgroup(parent: Path, name: str) -> Iterator[Path]:
    """A control group of our own; its processes go back to the root when it ends."""
    folder = parent / name
    folder.mkdir()
    try:
        yield folder
    finally:
        root = cgroup_mount()
        assert root is not None
        for pid in (folder / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(pid)
        folder.rmdir()
