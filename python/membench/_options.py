"""Groups of options that `record` and `top` take, and the whole of them for the engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from membench import _arguments as check
from membench._sample import ALL, Sample
from membench.errors import UsageError

Side = Literal["server", "client"]
Responses = Literal["none", "lengths", "bytes"]
By = Literal["process", "thread", "cpu"]
Hooks = Literal["sockets", "syscalls", "tcx", "clsact"]
# Sources that can be required.
Requirement = Literal["ebpf"]
# What is observed beside a recording: threads, counters and the host, or each request as well.
Observed = Literal["counters", "requests"]

GIB = 1 << 30
DEFAULT_RING_SIZE = 16 << 20
# The kernel takes sizes of rings as 32 bits.
MOST_RING_SIZE = 2 * GIB
# The engine keeps the N of a sample in 32 bits.
MOST_ONE_IN = (1 << 32) - 1
# The kernel numbers processes in 31 bits.
MOST_PID = (1 << 31) - 1
# CPUs that Linux supports on x86-64.
MOST_CPUS = 8192


@dataclass(frozen=True, slots=True)
class Selection:
    """Choose whose connections are followed. Each list that is not empty narrows the choice.

    Attributes:
        side: End of connections to follow: the `server`'s, or the `client`'s, which is what
            applications here send to `ports` anywhere, and the service times that they see.
        ports: Listening ports of the servers, or `any`: their clients' requests tell them in a
            capture file and in packets through libpcap. Without ports and sockets those of `pids`,
            without these 11211.
        sockets: Paths of UNIX-domain sockets, as the servers were told them.
        pids: Processes, by their ids here.
        cgroups: Control groups (v2), with those below.
        network_namespaces: Network namespaces: names, paths or pids.
    """

    side: Side = "server"
    ports: Sequence[int] | Literal["any"] = ()
    sockets: Sequence[str | os.PathLike[str]] = ()
    pids: Sequence[int] = ()
    cgroups: Sequence[str | os.PathLike[str]] = ()
    network_namespaces: Sequence[str | int] = ()

    def __post_init__(self) -> None:
        check.one_of("sides", self.side, get_args(Side))
        pids = check.several("pids", self.pids)
        names = check.several("network_namespaces", self.network_namespaces)
        listed: dict[str, Iterable[object]] = {
            "sockets": check.paths("sockets", self.sockets),
            "pids": sorted({check.whole("a process id", pid, 1, MOST_PID) for pid in pids}),
            "cgroups": check.paths("cgroups", self.cgroups),
            "network_namespaces": [str(name) for name in names],
        }
        if self.ports != "any":
            listed["ports"] = sorted(set(check.ports(self.ports)))
        for name, values in listed.items():
            object.__setattr__(self, name, tuple(values))


@dataclass(frozen=True, slots=True)
class Rotation:
    """Continue a recording in another profile, at whichever limit comes first.

    `production.mb` becomes `production-000001.mb`, `production-000002.mb`, and so on.

    Attributes:
        size: Bytes of one profile.
        every_s: Seconds that one profile covers; of a stored source, by its own times.
    """

    size: int | None = None
    every_s: float | None = None

    def __post_init__(self) -> None:
        if self.size is None and self.every_s is None:
            raise UsageError("a rotation without a limit", "`Rotation(size=1 << 30)`")
        if self.size is not None:
            check.size(self.size, 1)
        if self.every_s is not None:
            check.seconds("the time of a rotation", self.every_s)


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of one recording; None is no limit. Reaching one detaches, seals, and names it.

    The defaults only protect the disk, as your process may do more than record.
    `Guards.of_command` has those of the command line.

    Attributes:
        nice: Raises the niceness of the calling thread and of those it starts, and lets the process
            be killed first when memory runs out. Neither can be undone.
        max_cpu: Most CPU time of the process, as a share of one CPU over 5 s.
        max_memory: Most memory of the process, the rings included, bytes.
        max_written: Most bytes written; `record(max_size=...)` replaces it.
        min_free: Least space that must stay free on the disk written to, bytes.
    """

    nice: int | None = None
    max_cpu: float | None = None
    max_memory: int | None = None
    max_written: int | None = 10 * GIB
    min_free: int | None = GIB

    def __post_init__(self) -> None:
        if self.nice is not None:
            check.whole("a niceness", self.nice, -20, 19)
        if self.max_cpu is not None:
            check.positive("a number of CPUs", self.max_cpu, MOST_CPUS)
        for limit in (self.max_memory, self.max_written, self.min_free):
            if limit is not None:
                check.size(limit)

    @classmethod
    def of_command(cls) -> Guards:
        """Return the guards of `membench record`, a process that does nothing else.

        One CPU, as one thread drains the rings: a recorder that needs more falls behind anyway.
        1 GiB of memory is several times what sealing a part of a million events takes.
        """
        return cls(nice=10, max_cpu=1.0, max_memory=GIB)


NO_GUARDS = Guards(max_written=None, min_free=None)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a capture, as the native module reads them; the defaults are `top`'s."""

    selection: Selection
    responses: Responses = "bytes"
    arrival: bool = False
    ring_size: int = DEFAULT_RING_SIZE
    hooks: Hooks | None = None
    fallback: bool = True
    output: str | None = None
    force: bool = False
    wait: bool = False
    duration_s: float | None = None
    max_size: int | None = None
    rotation: Rotation | None = None
    sample: Sample = ALL
    guards: Guards = NO_GUARDS
    key_file: str | None = None
    statistics: bool = False
    drop_privileges: bool = False
    observed: bool = False
    host: str | None = None
    live: bool = True

    def __post_init__(self) -> None:
        check.flags(
            arrival=self.arrival,
            force=self.force,
            wait=self.wait,
            statistics=self.statistics,
            drop_privileges=self.drop_privileges,
            live=self.live,
        )
        check.kind("sample", self.sample, Sample)
        check.kind("guards", self.guards, Guards)
        if self.rotation is not None:
            check.kind("rotation", self.rotation, Rotation)
        check.one_of("responses", self.responses, get_args(Responses))
        if self.hooks is not None:
            check.one_of("hooks", self.hooks, get_args(Hooks))
        ring_size = check.whole("a size of a ring in bytes", self.ring_size, 1, MOST_RING_SIZE)
        if ring_size & (ring_size - 1):
            raise UsageError(
                f"a ring of {ring_size} bytes: must be a power of two", "for example 16M"
            )
        for one_in in (self.sample.keys, self.sample.connections):
            check.whole("the N of a sample of 1 in N", one_in, 1, MOST_ONE_IN)
        if self.duration_s is not None:
            check.seconds("a duration", self.duration_s)
        if self.max_size is not None:
            check.size(self.max_size, 1)


def select(selection: Selection | None, ports: Sequence[int] | Literal["any"] | None) -> Selection:
    """Return a selection; `ports` is the short form for one by ports alone."""
    chosen = Selection() if selection is None else check.kind("selection", selection, Selection)
    if ports is None:
        return chosen
    if chosen.ports:
        raise UsageError("ports are given twice", "`ports`, or `selection` with its own")
    if ports == "any":
        return replace(chosen, ports=ports)
    listed = check.ports(ports)
    if not listed:
        raise UsageError("no port to record", "memcached's own is 11211")
    return replace(chosen, ports=listed)
