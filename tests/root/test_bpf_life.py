"""Nothing of ours stays in the kernel: after close, an exception, many cycles, a kill."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from membench import bpf
from support.bpf_mounts import bpffs
from support.bpf_programs import RECORDS, compiled
from support.waiting import until

pytestmark = [pytest.mark.root]

GETPPID = 110 if platform.machine() == "x86_64" else 173


def held() -> set[tuple[str, int]]:
    """List the descriptors of programs, maps and links that this process has, and their numbers."""
    found = set()
    for name in os.listdir("/proc/self/fdinfo"):  # noqa: PTH208
        try:
            text = Path("/proc/self/fdinfo", name).read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(("prog_id:", "map_id:", "link_id:")):
                found.add((line.split(":")[0], int(line.split()[1])))
    return found


def ours(objects: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return those of the objects that the kernel still has."""
    listed = bpf.list()
    known = {
        "prog_id": {one.id for one in listed.programs},
        "map_id": {one.id for one in listed.maps},
        "link_id": {one.id for one in listed.links},
    }
    return {(kind, number) for kind, number in objects if number in known[kind]}


def start() -> bpf.Object:
    found = bpf.Object.open(compiled(RECORDS))
    found.globals["pid"] = os.getpid()
    found.globals["wanted"] = GETPPID
    return found


def test_closing_an_object_leaves_nothing() -> None:
    before = held()
    with start() as found:
        found.load()
        link = found.programs["record"].attach()
        ring = found.ring("events", timeout_s=0.1)
        os.getppid()
        assert len(list(ring)) == 1
        used = held() - before
        assert {kind for kind, _ in used} == {"prog_id", "map_id", "link_id"}
        assert ours(used) == used
    assert held() == before
    until(lambda: not ours(used), "the kernel frees them")
    assert not link.attached
    assert found.closed
    found.close()
    for use in (
        found.load,
        lambda: found.maps["events"].id,
        lambda: found.globals["hits"],
        found.programs["record"].attach,
        ring.read,
        lambda: link.ids,
    ):
        with pytest.raises(bpf.InvalidHandle):
            use()


def test_an_exception_leaves_nothing() -> None:
    before = held()
    used: set[tuple[str, int]] = set()

    def fail() -> None:
        with start() as found:
            found.load()
            found.programs["record"].attach()
            used.update(held() - before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(used) > 2
    assert held() == before
    until(lambda: not ours(used), "the kernel frees them")


def test_an_object_that_cannot_be_loaded_leaves_nothing() -> None:
    before = held()
    found = start()
    found.maps["events"].max_entries = 0
    with pytest.raises(bpf.KernelError):
        found.load()
    assert found.closed
    assert held() == before


def test_a_detached_program_counts_no_more_and_can_be_attached_again() -> None:
    with start() as found:
        found.load()
        program = found.programs["record"]
        with program.attach():
            os.getppid()
        os.getppid()
        assert found.globals["made"] == 1
        assert program.links == ()
        link = program.attach()
        os.getppid()
        assert found.globals["made"] == 2
        link.detach()
        link.detach()


@pytest.mark.parametrize("cycles", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_cycles_leave_no_descriptor_and_no_memory(cycles: int) -> None:
    # Programs of this type are not checked against the kernel's types, which takes longest.
    data = compiled(RECORDS.replace("tp_btf/", "raw_tp/"))

    def cycle() -> None:
        with bpf.Object.open(data) as found:
            found.load()
            found.programs["record"].attach()
            found.ring("events")

    cycle()
    before, descriptors = held(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resident = resident_kib()
    for _ in range(cycles):
        cycle()
    assert held() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208
    # Had each cycle kept the kernel's types, this would be hundreds of megabytes.
    assert resident_kib() - resident < 100 << 10


def resident_kib() -> int:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])


CHILD = """
import os, sys, time
from membench import bpf
found = bpf.Object.open(sys.argv[1])
found.load()
link = found.programs["record"].attach()
if len(sys.argv) > 2:
    link.pin(sys.argv[2])
print(*link.ids, found.programs["record"].id, found.maps["events"].id, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("pinned", [False, True])
def test_a_killed_process_leaves_nothing_but_what_it_pinned(tmp_path: Path, pinned: bool) -> None:
    path = tmp_path / "record.bpf.o"
    path.write_bytes(compiled(RECORDS))
    with bpffs(tmp_path / "bpf") as folder:
        pin = folder / "link"
        command = [sys.executable, "-c", CHILD, str(path), *([str(pin)] if pinned else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            numbers = child.stdout.readline().split()
            used = set(zip(("link_id", "prog_id", "map_id"), map(int, numbers), strict=True))
            assert ours(used) == used
            child.send_signal(signal.SIGKILL)
        if pinned:
            assert ours(used) == used
            bpf.unpin(pin)
        until(lambda: not ours(used), "the kernel frees them")
