"""Places to attach programs to."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal, TypedDict

from membench import _arguments as check
from membench.errors import UsageError

Direction = Literal["ingress", "egress"]


class Words(TypedDict):
    """A target in the words of the native module."""

    kind: str
    name: str
    path: Path | None
    offset: int | None
    word: str | None
    rate: int | None
    pid: int | None
    cpu: int | None


def _describe(
    kind: str,
    name: str = "",
    *,
    path: str | os.PathLike[str] | None = None,
    offset: int | None = None,
    word: str | None = None,
    rate: int | None = None,
    pid: int | None = None,
    cpu: int | None = None,
) -> Words:
    place = None if path is None else check.path("path", path)
    return Words(
        kind=kind, name=name, path=place, offset=offset, word=word, rate=rate, pid=pid, cpu=cpu
    )


class Target:
    """A place to attach a program to; its subclasses are the kinds of places."""

    __slots__ = ()
    _kinds: ClassVar[tuple[str, ...]] = ()
    # The native module's word for targets that have a name and nothing else.
    _word: ClassVar[str]

    def _takes(self) -> tuple[str, ...]:
        """Return the types of programs that it takes, as `Program.kind` names them."""
        return self._kinds

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        name, *_ = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return _describe(self._word, name)


@dataclass(frozen=True, slots=True)
class TpBtf(Target):
    """A tracepoint with typed arguments, such as `sched_switch` (Linux 5.5).

    Attributes:
        name: The tracepoint's name alone.
    """

    name: str
    _word = "raw_tracepoint"
    _kinds = ("tp_btf",)


@dataclass(frozen=True, slots=True)
class RawTp(Target):
    """A tracepoint with its arguments as words (Linux 4.17).

    Attributes:
        name: The tracepoint's name alone.
    """

    name: str
    _word = "raw_tracepoint"
    _kinds = ("raw_tp",)


@dataclass(frozen=True, slots=True)
class Tracepoint(Target):
    """A tracepoint with the fields that tracefs documents (Linux 4.7). It takes access to tracefs.

    Attributes:
        category: The folder in `/sys/kernel/tracing/events`, such as `sched`.
        name: The folder in that, such as `sched_switch`.
    """

    category: str
    name: str
    _kinds = ("tracepoint",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("tracepoint", self.name, word=self.category)


@dataclass(frozen=True, slots=True)
class Kprobe(Target):
    """An instruction of the kernel, or the return of one of its functions (Linux 4.1).

    Attributes:
        function: The function.
        offset: Offset of the instruction in it, bytes.
        ret: True for the return, which takes a program of type `kretprobe`.
    """

    function: str
    offset: int = 0
    ret: bool = False

    def _takes(self) -> tuple[str, ...]:
        """Return the type of program that it takes."""
        return ("kretprobe",) if self.ret else ("kprobe",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("kernel_function", self.function, offset=self.offset)


@dataclass(frozen=True, slots=True)
class Fentry(Target):
    """The beginning of a kernel function, with typed arguments (Linux 5.5; arm64: 6.0).

    Attributes:
        function: The function.
    """

    function: str
    _word = "kernel_function"
    _kinds = ("fentry",)


@dataclass(frozen=True, slots=True)
class Fexit(Target):
    """The return of a kernel function, with typed arguments and the result (Linux 5.5; arm64: 6.0).

    Attributes:
        function: The function.
    """

    function: str
    _word = "kernel_function"
    _kinds = ("fexit",)


@dataclass(frozen=True, slots=True)
class Uprobe(Target):
    """An instruction of a program or library, or the return of one of its functions (Linux 4.3).

    Attributes:
        path: The file, or the name of a library that the process has loaded.
        symbol: The function; None with `offset`.
        offset: Offset of the instruction in the file, bytes; None with `symbol`.
        ret: True for the return, which takes a program of type `uretprobe`.
        pid: The process; None for every one.
    """

    path: str | os.PathLike[str]
    symbol: str | None = None
    offset: int | None = None
    ret: bool = False
    pid: int | None = None

    def __post_init__(self) -> None:
        if (self.symbol is None) == (self.offset is None):
            raise UsageError("a Uprobe needs either a symbol or an offset")

    def _takes(self) -> tuple[str, ...]:
        """Return the type of program that it takes."""
        return ("uretprobe",) if self.ret else ("uprobe",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe(
            "user_function", self.symbol or "", path=self.path, offset=self.offset, pid=self.pid
        )


@dataclass(frozen=True, slots=True)
class KprobeMulti(Target):
    """Kernel functions whose names match a pattern, by one link (Linux 5.18).

    Attributes:
        glob: The pattern, in which `*` stands for any letters.
        ret: True for the returns, which takes a program of type `kretprobe`.
    """

    glob: str
    ret: bool = False
    _word = "kernel_functions"

    def _takes(self) -> tuple[str, ...]:
        """Return the type of program that it takes."""
        return ("kretprobe",) if self.ret else ("kprobe",)


@dataclass(frozen=True, slots=True)
class UprobeMulti(Target):
    """Functions of a program or library whose names match a pattern, by one link (Linux 6.6).

    Attributes:
        path: The file.
        glob: The pattern, in which `*` stands for any letters.
        ret: True for the returns, which takes a program of type `uretprobe`.
        pid: The process; None for every one.
    """

    path: str | os.PathLike[str]
    glob: str
    ret: bool = False
    pid: int | None = None

    def _takes(self) -> tuple[str, ...]:
        """Return the type of program that it takes."""
        return ("uretprobe",) if self.ret else ("uprobe",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("user_functions", self.glob, path=self.path, pid=self.pid)


@dataclass(frozen=True, slots=True)
class Usdt(Target):
    """A probe that the author of a program or library placed in it, at all its places (Linux 4.3).

    A counter that turns the probe on, which some programs have, is raised while it is attached
    (Linux 4.20). It takes a program of type `uprobe`.

    Attributes:
        path: The file.
        provider: The provider, such as `python`.
        name: The probe, such as `gc__start`.
        pid: The process; None for every one.
    """

    path: str | os.PathLike[str]
    provider: str
    name: str
    pid: int | None = None
    _kinds = ("uprobe",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("usdt", self.name, path=self.path, word=self.provider, pid=self.pid)


@dataclass(frozen=True, slots=True)
class PerfEvent(Target):
    """A clock's ticks or a counter's overflows (Linux 4.9).

    Attributes:
        event: `cpu-clock`, `task-clock`, `page-faults`, `context-switches`, `cpu-migrations`,
            `cycles`, `instructions` or `cache-misses`.
        hz: Runs a second; None with `period`.
        period: Events between two runs, ns for clocks; None with `hz`.
        pid: The process; None or -1 for every one.
        cpu: The CPU; `all` for every one that is online.
    """

    event: str
    hz: int | None = None
    period: int | None = None
    pid: int | None = None
    cpu: int | Literal["all"] = "all"
    _kinds = ("perf_event",)

    def __post_init__(self) -> None:
        if (self.hz is None) == (self.period is None):
            raise UsageError("a PerfEvent needs either hz or period")

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        word, rate = ("period", self.period) if self.hz is None else ("hz", self.hz)
        pid = None if self.pid == -1 else self.pid
        cpu = None if self.cpu == "all" else self.cpu
        return _describe("perf_event", self.event, word=word, rate=rate, pid=pid, cpu=cpu)


@dataclass(frozen=True, slots=True)
class Tc(Target):
    """The packets of an interface, by a filter of its `clsact` (Linux 4.5).

    A process can have one filter an interface. A helper removes it, however the process ends. It
    takes `tc` of iproute2; `Tcx` needs neither.

    Attributes:
        interface: The interface.
        direction: `ingress` or `egress`.
    """

    interface: str
    direction: Direction
    _kinds = ("classifier",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("tc", self.interface, word=self.direction)


@dataclass(frozen=True, slots=True)
class Tcx(Target):
    """The packets of an interface, by a link before all other programs (Linux 6.6).

    Attributes:
        interface: The interface.
        direction: `ingress` or `egress`.
    """

    interface: str
    direction: Direction
    _kinds = ("classifier",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("tcx", self.interface, word=self.direction)


@dataclass(frozen=True, slots=True)
class Xdp(Target):
    """The packets that an interface receives, before the kernel sees them (Linux 4.8).

    Attributes:
        interface: The interface.
        mode: `native` for the driver, `generic` for the kernel, `any` for the first that works.
    """

    interface: str
    mode: Literal["any", "generic", "native"] = "any"
    _kinds = ("xdp",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("xdp", self.interface, word=self.mode)


@dataclass(frozen=True, slots=True)
class Cgroup(Target):
    """A control group (version 2) and the sockets of its tasks.

    Attributes:
        path: The group's folder.
        kind: `ingress` or `egress`, for programs in the section `cgroup/skb`; other sections say
            themselves where they run.
    """

    path: str | os.PathLike[str]
    kind: Direction = "ingress"
    _kinds = (
        "cgroup_skb",
        "cgroup/sock",
        "cgroup/sock_addr",
        "cgroup/sockopt",
        "cgroup/sysctl",
        "cgroup/dev",
        "lsm_cgroup",
    )

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("cgroup", path=self.path, word=self.kind)


@dataclass(frozen=True, slots=True)
class SockOps(Target):
    """The events of the TCP connections of a control group (Linux 4.13).

    Attributes:
        path: The group's folder.
    """

    path: str | os.PathLike[str]
    _kinds = ("sockops",)

    def _words(self) -> Words:
        """Put the target in the words of the native module."""
        return _describe("cgroup", path=self.path, word="ingress")


@dataclass(frozen=True, slots=True)
class Lsm(Target):
    """A hook of the security modules, such as `file_open` (Linux 5.7, with `bpf` among them).

    Attributes:
        hook: The hook.
    """

    hook: str
    _word = "lsm"
    _kinds = ("lsm",)


@dataclass(frozen=True, slots=True)
class Iter(Target):
    """The kernel's objects of a kind, such as `task` (Linux 5.8). `Link.read` runs the program.

    Attributes:
        name: The kind of objects.
    """

    name: str
    _word = "iterator"
    _kinds = ("iter",)


_ONE_NAME: dict[str, type[TpBtf | RawTp | Fentry | Fexit | Lsm | Iter]] = {
    "tp_btf": TpBtf,
    "raw_tp": RawTp,
    "fentry": Fentry,
    "fexit": Fexit,
    "lsm": Lsm,
    "iter": Iter,
}


def from_section(kind: str, section: str) -> Target | None:
    """Read the target that a section names, as in `tp_btf/sched_switch`; None if it names none."""
    _, _, place = section.partition("/")
    if not place:
        return None
    if kind in _ONE_NAME:
        return _ONE_NAME[kind](place)
    if kind == "tracepoint" and "/" in place:
        category, _, name = place.partition("/")
        return Tracepoint(category, name)
    if kind in ("kprobe", "kretprobe"):
        return Kprobe(place, ret=kind == "kretprobe")
    return None
