"""This kernel → instructions that its verifier goes through for each program, and their list."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from support.kernel import TRACES_CGROUPS, default_hooks, release

HERE = Path(__file__).resolve().parents[1] / "kernels"
LIST = HERE / "instructions.tsv"
SHIM = HERE / "verified.c"
#: A program may grow by so much before somebody has to look at it,
TOLERANCE = 0.10
#: and to no more than half of what kernels accept.
MOST = 500_000
UPDATE = "tests/kernels/run.sh --update"
TITLE = "release\thooks\tselection\tprogram\tinstructions\n"

#: Which code of a program is reached depends on what is asked for: these reach all of it.
SELECTIONS: dict[str, dict[str, Any]] = {
    "ports": {"ports": [11211]},
    "narrowed": {
        "ports": list(range(11211, 11227)),
        "sockets": ["/run/memcached.sock"],
        "pids": [os.getpid()],
        "network_namespaces": [os.getpid()],
        "sample_connections": 2,
    },
    "client": {"ports": [11211], "side": "client"},
}
#: What the loader tries out with programs of its own has these names.
TRIALS = ("", "aya_name_check")


class Count(NamedTuple):
    """What one kernel's verifier went through."""

    release: str
    hooks: str
    selection: str
    program: str
    instructions: int

    @property
    def series(self) -> str:
        """The kernel's series, as `6.12`: within it the verifier stays as it is."""
        return ".".join(self.release.split(".")[:2])

    @property
    def what(self) -> tuple[str, str, str, str]:
        """What it is compared by."""
        return self.series, self.hooks, self.selection, self.program


def attach_all() -> None:
    """Load, attach and detach with each selection, and say before which in the shim's file."""
    import membench  # noqa: PLC0415 - the process that counts does not need it

    with control_groups() as mount:
        if release() >= TRACES_CGROUPS:
            SELECTIONS["narrowed"]["cgroups"] = [mount]
        for hooks in ("sockets", "syscalls") if default_hooks() == "sockets" else ("syscalls",):
            for selection, options in SELECTIONS.items():
                say(f"{hooks} {selection}")
                with membench.record("ebpf:any", hooks=hooks, statistics=False, **options):
                    pass
    say("packets ports")
    with (
        interface() as name,
        membench.record(f"ebpf:{name}", statistics=False, **SELECTIONS["ports"]),
    ):
        pass


def say(what: str) -> None:
    """Say what is loaded next."""
    with Path(os.environ["MEMBENCH_VERIFIED"]).open("a") as told:
        told.write(f"{what}\n")


@contextmanager
def interface() -> Iterator[str]:
    """An interface of our own; of those of a machine, `lo` has packets pass one way only."""
    mark = uuid4().hex[:8]
    name, other = f"mb-a-{mark}", f"mb-b-{mark}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", other)
    try:
        yield name
    finally:
        run("ip", "link", "delete", name)


@contextmanager
def control_groups() -> Iterator[Path]:
    """The control groups (v2), mounted in a folder that only this process's namespace shows."""
    with tempfile.TemporaryDirectory(prefix="membench-test-") as folder:
        run("mount", "-t", "cgroup2", "none", folder)
        try:
            yield Path(folder)
        finally:
            run("umount", folder)


def run(*command: str, **environment: str) -> None:
    """Run a command, which must succeed."""
    subprocess.run(command, check=True, env=os.environ | environment)


def count() -> list[Count]:
    """Count on this kernel, for each kind of hooks it has."""
    with tempfile.TemporaryDirectory(prefix="membench-test-") as folder:
        shim, told = (
            os.environ.get("MEMBENCH_SHIM") or f"{folder}/verified.so",
            Path(folder, "told"),
        )
        if not Path(shim).exists():
            run("cc", "-shared", "-fPIC", "-o", shim, str(SHIM), "-ldl")
        script = "from support.instructions import attach_all; attach_all()"
        run(
            *("unshare", "--mount", sys.executable, "-c", script),
            LD_PRELOAD=shim,
            MEMBENCH_VERIFIED=str(told),
            PYTHONPATH=str(Path(__file__).parents[1]),
        )
        return list(_read(told.read_text()))


def _read(told: str) -> Iterator[Count]:
    """Counts of the programs between lines that say with which selection they were loaded."""
    under = ["", ""]
    for line in told.splitlines():
        name, _, rest = line.rpartition(" ")
        if not rest.isdigit():
            under = line.split()
        elif name not in TRIALS:
            yield Count(os.uname().release, *under, name, int(rest))


def listed(path: Path = LIST) -> list[Count]:
    """What a list says."""
    rows = (line.split("\t") for line in path.read_text().splitlines()[1:])
    return [Count(*texts, int(instructions)) for *texts, instructions in rows]


def write(counts: Iterable[Count], path: Path) -> None:
    """Write a list."""
    rows = sorted(counts, key=lambda one: ([int(part) for part in one.series.split(".")], one))
    path.write_text(TITLE + "".join("\t".join(map(str, row)) + "\n" for row in rows))


def compare(found: Iterable[Count], known: Iterable[Count]) -> list[str]:
    """Say what is too much, and what of these kernels is in one list alone."""
    now = {one.what: one for one in found}
    before = {one.what: one for one in known}
    series = {one.series for one in now.values()}
    wrong = [
        f"{' '.join(what)}: {one.instructions} instructions, at most {MOST} are wanted"
        for what, one in now.items()
        if one.instructions > MOST
    ]
    wrong += [
        f"{' '.join(what)}: {now[what].instructions} instructions, {one.instructions} are listed"
        for what, one in before.items()
        if what in now and now[what].instructions > one.instructions * (1 + TOLERANCE)
    ]
    wrong += [f"{' '.join(what)}: not listed" for what in now if what not in before]
    gone = (what for what, one in before.items() if one.series in series and what not in now)
    return wrong + [f"{' '.join(what)}: listed, not loaded" for what in gone]
