"""A process that keeps one CPU busy, and a server that may use little of one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.waiting import until

_PERIOD_US = 100_000

#: Names itself, says so, and spins on one CPU, before most others.
_SPIN = """
import ctypes, os, sys
os.sched_setaffinity(0, {int(sys.argv[2])})
os.nice(-10)
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
print("spins", flush=True)
while True:
    pass
"""


@contextmanager
def spinner(name: str, cpu: int, group: Path) -> Iterator[int]:
    """Spin on a CPU in a new control group (v2), under a name of at most 15 letters."""
    group.mkdir()
    command = [sys.executable, "-c", _SPIN, name, str(cpu)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        (group / "cgroup.procs").write_text(str(process.pid))
        assert process.stdout is not None
        assert process.stdout.readline() == b"spins\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()
        until(lambda: _is_removed(group), "the control group being empty")


@contextmanager
def quota(process: int, share: float) -> Iterator[None]:
    """Bound a process to a share of one CPU, by a control group of either version."""
    folder, write = _quota_group(f"membench-quota-{os.getpid()}")
    home = folder.parent / "cgroup.procs"
    folder.mkdir()
    try:
        write(folder, int(share * _PERIOD_US))
        (folder / "cgroup.procs").write_text(str(process))
        yield
    finally:
        home.write_text(str(process))
        until(lambda: _is_removed(folder), "the control group being empty")


def _quota_group(name: str) -> tuple[Path, Callable[[Path, int], object]]:
    """Return the folder of a new group below the root, and how its quota is written."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, path, kind, options, *_ = line.split(" ")
        mount = Path(path)
        if kind == "cgroup" and "cpu" in options.split(","):
            return mount / name, _write_first
        controllers = mount / "cgroup.subtree_control"
        if kind == "cgroup2" and "cpu" in controllers.read_text().split():
            return mount / name, _write_second
    pytest.skip("no control groups with a CPU quota")


def _write_first(folder: Path, quota_us: int) -> None:
    (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
    (folder / "cpu.cfs_quota_us").write_text(str(quota_us))


def _write_second(folder: Path, quota_us: int) -> None:
    (folder / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True


def pin(process: int, cpu: int) -> None:
    """Keep every thread of a process on one CPU."""
    for thread in (Path("/proc") / str(process) / "task").iterdir():
        os.sched_setaffinity(int(thread.name), {cpu})
