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
from support.bpf_programs import PRELUDE, RECORDS, compiled
from support.kernel_objects import KernelObject, kernel_objects_of, wait_until_gone

pytestmark = [pytest.mark.root]

GETPPID = 110 if platform.machine() == "x86_64" else 173


def held() -> set[KernelObject]:
    """Return the programs, maps and links that this process holds."""
    return kernel_objects_of(os.getpid())


def ours(objects: set[KernelObject]) -> set[KernelObject]:
    """Return those of the objects that the kernel still has."""
    return {one for one in objects if one.exists()}


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
        assert {one.kind for one in used} == {"prog_id", "map_id", "link_id"}
        assert ours(used) == used
    assert held() == before
    wait_until_gone(used, "a closed object")
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


def test_a_map_of_programs_goes_while_it_is_looked_up() -> None:
    data = compiled(f"""{PRELUDE}
struct {{
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, __u32);
}} tails SEC(".maps");
""")
    for _ in range(20):
        with bpf.Object.open(data) as found:
            found.load()
            used = [KernelObject("map_id", found.maps["tails"].id)]
        wait_until_gone(used, "a closed object")


def test_an_exception_leaves_nothing() -> None:
    before = held()
    used: set[KernelObject] = set()

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
    wait_until_gone(used, "an object that an exception closed")


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
            kinds = ("link_id", "prog_id", "map_id")
            used = {KernelObject(*one) for one in zip(kinds, map(int, numbers), strict=True)}
            assert ours(used) == used
            child.send_signal(signal.SIGKILL)
        if pinned:
            assert ours(used) == used
            bpf.unpin(pin)
        wait_until_gone(used, "a killed process")
