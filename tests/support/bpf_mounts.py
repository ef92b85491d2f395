"""File systems of the kernel that `membench.bpf` uses → mounted for a test where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.exclusive import exclusive
from support.process import output

TRACEFS = Path("/sys/kernel/tracing")


@contextmanager
def tracefs() -> Iterator[None]:
    """Mount tracefs where the kernel expects it, unless it is mounted; one test at a time."""
    with exclusive("tracefs"):
        if (TRACEFS / "events").exists():
            yield
            return
        output("mount", "-t", "tracefs", "tracefs", TRACEFS)
        try:
            yield
        finally:
            output("umount", "--lazy", TRACEFS)


@contextmanager
def bpffs(folder: Path) -> Iterator[Path]:
    """Mount a BPF file system of the test's own; its pins end with it."""
    folder.mkdir()
    output("mount", "-t", "bpf", "bpf", folder)
    try:
        yield folder
    finally:
        output("umount", folder)


def cgroup() -> Path:
    """Return the root of the control groups (version 2)."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, path, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(path)
    raise AssertionError("no cgroup2 file system is mounted")
