"""A process → the BPF programs, maps and links that it holds in the kernel, by id."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from support import proc
from support.waiting import until

_BPF = {"x86_64": 321, "aarch64": 280}
_C = ctypes.CDLL(None, use_errno=True)
_C.syscall.restype = ctypes.c_long
#: Command of bpf(2) that returns the next id above one, for each kind of object.
_NEXT_ID = {"prog_id": 11, "map_id": 12, "link_id": 31}


@dataclass(frozen=True, slots=True, order=True)
class KernelObject:
    """One program, map or link."""

    kind: str
    number: int

    def exists(self) -> bool:
        """Return true if the kernel still has the object.

        Ids are listed, and the object is not opened: a map of programs that is opened and closed
        again while the kernel lets go of it stays for ever (Linux 6.18: each last close takes a
        reference for the work that clears the map, even if that work already waits).
        """
        attributes = (ctypes.c_uint32 * 32)(self.number - 1)
        size = ctypes.sizeof(attributes)
        number = _BPF[platform.machine()]
        if _C.syscall(number, _NEXT_ID[self.kind], ctypes.byref(attributes), size) == 0:
            return attributes[1] == self.number
        if ctypes.get_errno() != errno.ENOENT:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return False


def kernel_objects_of(pid: int) -> set[KernelObject]:
    """Return the objects that a process holds open; none once it is gone."""
    found = set()
    for text in proc.descriptors(pid):
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        # The entry of a link names its program as well.
        found |= {KernelObject(kind, int(fields[kind])) for kind in _NEXT_ID if kind in fields}
    return found


def wait_until_gone(objects: Collection[KernelObject], whose: str) -> None:
    """Wait until the kernel has freed the objects; fail with the processes that hold some open."""
    try:
        until(lambda: not any(one.exists() for one in objects), "the kernel freeing them")
    except AssertionError as late:
        left = {one for one in objects if one.exists()}
        holders = []
        for process in proc.entries(Path("/proc")):
            # Some processes may not be asked, even by root.
            with suppress(PermissionError):
                if process.name.isdecimal() and kernel_objects_of(int(process.name)) & left:
                    holders.append(f"{process.name} ({proc.read(process / 'comm')})")
        raise AssertionError(f"{whose}: {sorted(left)} held by {holders}: {late}") from late
