"""Network namespaces and control groups of a test's own, removed with their block."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from support.waiting import until

CLONE_NEWNET = 0x40000000
CGROUPS = "cgroup2"


class Namespace:
    """A network namespace with its loopback up, held by a process."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        """Take the process that holds the namespace."""
        self.pid = holder.pid
        self.path = Path(f"/proc/{holder.pid}/ns/net")
        self.inode = self.path.stat().st_ino

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move this thread into the namespace for the block; what it creates there stays."""
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
    """Create a network namespace."""
    # The holder ends when its input is closed, so also if this process is killed.
    script = "ip link set lo up && echo up && exec cat"
    command = [shutil.which("unshare") or "unshare", "--net", "sh", "-c", script]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n", "no network namespace can be made here"
        yield Namespace(holder)
    finally:
        holder.kill()
        holder.communicate()


def cgroup_mount() -> Path | None:
    """Return a mount of the control groups (v2) that is writable."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split(" ")
        if kind == CGROUPS and os.access(folder, os.W_OK):
            return Path(folder)
    return None


@contextmanager
def cgroup(parent: Path, name: str | None = None) -> Iterator[Path]:
    """Create a control group; its processes move to the root when the block ends."""
    folder = parent / (name or f"membench-test-{uuid4().hex[:8]}")
    folder.mkdir()
    try:
        yield folder
    finally:
        root = cgroup_mount()
        assert root is not None
        until(lambda: _emptied(folder, root), f"{folder} being empty")


def _emptied(folder: Path, root: Path) -> bool:
    """Move a control group's processes to the root; return true if it could be removed then."""
    for pid in (folder / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            (root / "cgroup.procs").write_text(pid)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
