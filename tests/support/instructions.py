"""This kernel → instructions that its verifier processes for each program, and their list."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from support.bpf_mounts import tracefs
from support.kernel import TRACES_CGROUPS, default_hooks, release

HERE = Path(__file__).resolve().parents[1] / "kernels"
LIST = HERE / "instructions.tsv"
SHIM = HERE / "verified.c"
#: Growth of a program that needs no attention, as a fraction.
TOLERANCE = 0.10
#: Upper bound for a program: half of what kernels accept.
MOST = 500_000
UPDATE = "tests/kernels/run.sh --update"
TITLE = "release\thooks\tselection\tprogram\tinstructions\n"

#: Options that together reach all code of the programs: branches depend on the selection.
SELECTIONS: dict[str, dict[str, Any]] = {
    "ports": {"ports": [11211]},
    "narrowed": {
        "ports": list(range(11211, 11227)),
        "sockets": ["/run/memcached.sock"],
        "pids": [os.getpid()],
        "network_namespaces": [os.getpid()],
    },
    "client": {"ports": [11211], "side": "client"},
}
#: Probes that together reach all code of their programs; kernels lack some of the hooks.
PROBES: dict[str, dict[str, Any]] = {
    "tp_btf:tcp_destroy_sock": {"ports": [11211], "stacks": True},
    "tp_btf:sys_exit": {"histogram": "ret", "by": "thread", "comms": ["memcached"]},
    "raw_tp:sys_exit": {"histogram": "arg1", "linear": (0, 100, 1), "by": "process"},
    "tracepoint:raw_syscalls:sys_enter": {"latency": True, "stacks": True},
    "kprobe:tcp_sendmsg": {"latency": True, "ports": [11211], "by": "thread", "stacks": True},
    "kprobe:tcp_send*": {"histogram": "arg2", "stacks": True},
    "fentry:tcp_sendmsg": {"latency": True, "ports": [11211], "by": "thread", "stacks": True},
    "uprobe:libc:getppid": {"latency": True, "by": "thread", "stacks": True},
    "uprobe:libc:getp*id": {"histogram": "arg0", "stacks": True},
    "perf:cpu-clock@1": {"by": "process", "stacks": True},
}
#: Ways of a trace to see calls, with calls that they see.
TRACES: dict[Literal["tracepoints", "functions"], str] = {
    "tracepoints": "%all",
    "functions": "read,sendmsg",
}
#: Names of the probe programs that the loader itself loads.
TRIALS = ("", "aya_name_check")


class Count(NamedTuple):
    """Instructions processed by one kernel's verifier for one program."""

    release: str
    hooks: str
    selection: str
    program: str
    instructions: int

    @property
    def series(self) -> str:
        """Series of the kernel, as `6.12`: within a series the verifier does not change."""
        return ".".join(self.release.split(".")[:2])

    @property
    def what(self) -> tuple[str, str, str, str]:
        """Key by which two counts are compared."""
        return self.series, self.hooks, self.selection, self.program


def attach_all() -> None:
    """Load, attach and detach with each selection, each announced in the shim's file."""
    import membench  # noqa: PLC0415 - the process that counts does not need it

    with control_groups() as mount:
        if release() >= TRACES_CGROUPS:
            SELECTIONS["narrowed"]["cgroups"] = [mount]
        for hooks in ("sockets", "syscalls") if default_hooks() == "sockets" else ("syscalls",):
            for selection, options in SELECTIONS.items():
                say(f"{hooks} {selection}")
                sample = membench.Sample(connections=2 if selection == "narrowed" else 1)
                with membench.record(
                    "ebpf:any",
                    selection=membench.Selection(**options),
                    sample=sample,
                    hooks=hooks,
                    statistics=False,
                    wait=True,
                ):
                    pass
    say("packets ports")
    with (
        interface() as name,
        membench.record(
            f"ebpf:{name}", statistics=False, ports=SELECTIONS["ports"]["ports"], wait=True
        ),
    ):
        pass


def observe_all() -> None:
    """Load, attach and detach the programs of the other commands that this kernel can have."""
    import membench  # noqa: PLC0415 - as above

    own = os.getpid()
    with tracefs(), control_groups() as mount:
        cgroups = [mount] if release() >= TRACES_CGROUPS else []
        for hook, options in PROBES.items():
            say(f"probe {hook}")
            with (
                suppress(membench.CaptureUnavailableError),
                membench.probe(hook, pids=[own], cgroups=cgroups, **options),
            ):
                pass
    for hooks, calls in TRACES.items():
        say(f"trace {hooks}")
        with (
            suppress(membench.CaptureUnavailableError),
            membench.trace(calls, pids=[own], ports=[11211], descriptors=True, hooks=hooks),
        ):
            pass
    observe_requests()


def observe_requests() -> None:
    """Load, attach and detach the programs of `observe --requests`, if this kernel can have them.

    They are loaded before it looks for a server, which there need not be.
    """
    import membench  # noqa: PLC0415 - as above

    with control_groups() as mount:
        for selection in ("ports", "narrowed"):
            options = SELECTIONS[selection] | {"sockets": []}
            groups: tuple[str, ...] = ()
            if selection == "narrowed":
                options["cgroups"] = [mount]
                groups = ("command", "connection")
            say(f"observe {selection}")
            with (
                suppress(membench.CaptureUnavailableError),
                membench.observe(
                    requests=True,
                    selection=membench.Selection(**options),
                    slower_than_s=0.001,
                    by=groups,
                ),
            ):
                pass


def say(what: str) -> None:
    """Write a line into the shim's file that says which selection is loaded next."""
    with Path(os.environ["MEMBENCH_VERIFIED"]).open("a") as told:
        told.write(f"{what}\n")


@contextmanager
def interface() -> Iterator[str]:
    """Create a veth interface: on `lo` only one direction would be attached."""
    mark = uuid4().hex[:8]
    name, other = f"mb-a-{mark}", f"mb-b-{mark}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", other)
    try:
        yield name
    finally:
        run("ip", "link", "delete", name)


@contextmanager
def control_groups() -> Iterator[Path]:
    """Mount the control groups (v2) in a folder of this process's mount namespace."""
    with tempfile.TemporaryDirectory(prefix="membench-test-") as folder:
        run("mount", "-t", "cgroup2", "none", folder)
        try:
            yield Path(folder)
        finally:
            run("umount", folder)


def run(*command: str, **environment: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, env=os.environ | environment)


def count() -> list[Count]:
    """Count the instructions on this kernel, for each kind of hooks it has."""
    with tempfile.TemporaryDirectory(prefix="membench-test-") as folder:
        shim, told = (
            os.environ.get("MEMBENCH_SHIM") or f"{folder}/verified.so",
            Path(folder, "told"),
        )
        if not Path(shim).exists():
            run("cc", "-shared", "-fPIC", "-o", shim, str(SHIM), "-ldl")
        script = (
            "from support.instructions import attach_all, observe_all; attach_all(); observe_all()"
        )
        run(
            *("unshare", "--mount", sys.executable, "-c", script),
            LD_PRELOAD=shim,
            MEMBENCH_VERIFIED=str(told),
            PYTHONPATH=str(Path(__file__).parents[1]),
        )
        # A program that is loaded twice for the same is listed once.
        return list(dict.fromkeys(_read(told.read_text())))


def _read(told: str) -> Iterator[Count]:
    """Yield the counts; a line that ends with no number names the selection of those after it."""
    under = ["", ""]
    for line in told.splitlines():
        name, _, rest = line.rpartition(" ")
        if not rest.isdigit():
            under = line.split()
        elif name not in TRIALS:
            yield Count(os.uname().release, *under, name, int(rest))


def listed(path: Path = LIST) -> list[Count]:
    """Read a list of counts."""
    rows = (line.split("\t") for line in path.read_text().splitlines()[1:])
    return [Count(*texts, int(instructions)) for *texts, instructions in rows]


def write(counts: Iterable[Count], path: Path) -> None:
    """Write a list of counts, sorted."""
    rows = sorted(counts, key=lambda one: ([int(part) for part in one.series.split(".")], one))
    path.write_text(TITLE + "".join("\t".join(map(str, row)) + "\n" for row in rows))


def compare(found: Iterable[Count], known: Iterable[Count]) -> list[str]:
    """Describe counts that are too high, and programs of these kernels in one list only."""
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
