"""Pins outlive what made them; links are given other programs without a gap."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from membench import bpf
from membench.errors import UsageError
from support.bpf_mounts import bpffs, cgroup
from support.bpf_programs import MAPS, compiled, counter
from support.exclusive import exclusive
from support.kernel import has_tcx
from support.kernel_objects import KernelObject, wait_until_gone
from support.waiting import until

pytestmark = [pytest.mark.root]

GETPPID = 110 if platform.machine() == "x86_64" else 173


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with bpffs(tmp_path / "bpf") as mounted:
        yield mounted


def start() -> bpf.Object:
    found = bpf.Object.open(compiled(MAPS))
    found.globals["pid"] = os.getpid()
    found.globals["wanted"] = GETPPID
    return found.load()


def test_a_pinned_link_counts_on_and_its_map_is_read_through_types(folder: Path) -> None:
    with start() as found:
        link = found.programs["count"].attach()
        link.pin(folder / "link")
        found.programs["count"].pin(folder / "program")
        found.maps["table"].pin(folder / "table")
        os.getppid()
    os.getppid()
    table = bpf.open_pinned(folder / "table")
    assert isinstance(table, bpf.Map)
    key = {"tgid": os.getpid(), "call": GETPPID}
    assert table[key]["total"] == 2
    program = bpf.open_pinned(folder / "program")
    assert isinstance(program, bpf.PinnedProgram)
    assert program.misses >= 0
    assert "misses=" in repr(program)
    held = bpf.open_pinned(folder / "link")
    assert isinstance(held, bpf.Link)
    held.close()
    os.getppid()
    assert table[key]["total"] == 3
    again = bpf.open_pinned(folder / "link")
    assert isinstance(again, bpf.Link)
    again.detach()
    assert not (folder / "link").exists()

    def is_silent() -> bool:
        before = table[key]["total"]
        os.getppid()
        return bool(table[key]["total"] == before)

    # The kernel lets go of a pinned link a moment later.
    until(is_silent, "the program counts no more")
    assert is_silent()
    number = program.id
    table.close()
    program.close()
    bpf.unpin(folder / "table")
    bpf.unpin(folder / "program")
    assert {path.name for path in folder.iterdir()} <= {"maps.debug", "progs.debug"}
    wait_until_gone([KernelObject("prog_id", number)], "an unpinned program")


def test_another_process_reads_a_pinned_map(folder: Path) -> None:
    code = """
import sys
from membench import bpf
table = bpf.open_pinned(sys.argv[1])
print(table.snapshot())
"""
    with start() as found:
        found.programs["count"].attach()
        os.getppid()
        found.maps["slots"].pin(folder / "slots")
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder / "slots")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(found.maps["slots"].snapshot())


def test_only_pins_are_unpinned(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.write_text("text")
    with pytest.raises(bpf.KernelError):
        bpf.unpin(other)
    assert other.read_text() == "text"
    with start() as found, pytest.raises(bpf.NotFound):
        found.maps["table"].pin(folder / "no" / "such")
    with start() as found:
        found.maps["table"].pin(folder / "taken")
        with pytest.raises(bpf.AlreadyAttached):
            found.maps["slots"].pin(folder / "taken")
        found.programs["count"].attach()
        with pytest.raises(UsageError, match="iterator"):
            found.programs["count"].links[0].read()


REPLACED = {
    "tcx": ("classifier", lambda: bpf.Tcx("lo", "ingress"), -1),
    "xdp": ("xdp", lambda: bpf.Xdp("lo", "generic"), 2),
    "cgroup": ("cgroup/skb", lambda: bpf.Cgroup(cgroup(), "ingress"), 1),
    "sockops": ("sockops", lambda: bpf.SockOps(cgroup()), 0),
}


@pytest.mark.parametrize("name", REPLACED)
def test_the_kernel_exchanges_the_program_of_a_link(name: str) -> None:
    section, target, result = REPLACED[name]
    if name == "tcx" and not has_tcx():
        pytest.skip("this kernel has no TCX")
    data = counter(section, result=result)
    with (
        exclusive("filters of lo"),
        bpf.Object.open(data) as old,
        bpf.Object.open(data) as new,
    ):
        old.load()
        new.load()
        link = old.programs["count"].attach(target())
        numbers = link.ids
        link.replace(new.programs["count"])
        assert link.ids == numbers
        assert link.program is new.programs["count"]
        assert old.programs["count"].links == ()
        assert new.programs["count"].links == (link,)
        (listed,) = [one for one in bpf.list().links if one.id == numbers[0]]
        assert listed.program == new.programs["count"].id
        old.close()
        assert link.attached


def test_where_the_kernel_cannot_no_event_goes_unseen_and_few_are_seen_twice(
    figure,  # type: ignore[no-untyped-def]  # noqa: ANN001 - a function of the conftest
) -> None:
    condition = "ours() && ctx->args[1] == wanted"
    data = counter("raw_tp", "struct bpf_raw_tracepoint_args", condition)
    with bpf.Object.open(data) as old, bpf.Object.open(data) as new:
        for one in (old, new):
            one.globals["pid"] = os.getpid()
            one.globals["wanted"] = GETPPID
            one.load()
        link = old.programs["count"].attach(bpf.RawTp("sys_enter"))
        calls, stop = 0, threading.Event()

        def call() -> None:
            nonlocal calls
            while not stop.is_set():
                os.getppid()
                calls += 1

        thread = threading.Thread(target=call)
        thread.start()
        until(lambda: old.globals["hits"] > 100, "calls are seen")
        link.replace(new.programs["count"])
        until(lambda: new.globals["hits"] > 100, "calls are seen")
        stop.set()
        thread.join()
        seen = old.globals["hits"] + new.globals["hits"]
        assert seen >= calls
        figure(f"replace by attaching first: {seen - calls} of {calls} calls seen twice")
        assert link.program is new.programs["count"]


def test_a_pinned_program_takes_over_a_link(folder: Path) -> None:
    data = counter("cgroup/skb", result=1)
    with bpf.Object.open(data) as old, bpf.Object.open(data) as new:
        old.load()
        new.load()
        new.programs["count"].pin(folder / "new")
        program = bpf.open_pinned(folder / "new")
        assert isinstance(program, bpf.PinnedProgram)
        link = old.programs["count"].attach(bpf.Cgroup(cgroup()))
        link.replace(program)
        listed = {one.id: one.program for one in bpf.list().links}
        assert listed[link.ids[0]] == program.id
        link.detach()
        bpf.unpin(folder / "new")
