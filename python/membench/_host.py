"""/proc and /sys → facts about a host and its servers by which two measurements may differ."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")
# The id of a machine is secret; what is made of it here leads back to none.
_PURPOSE = b"membench host "
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_ID_DIGITS = 16
# Devices whose interrupts are listed.
_MOST_DEVICES = 256
_POLICIES = {
    os.SCHED_OTHER: "other",
    os.SCHED_BATCH: "batch",
    os.SCHED_IDLE: "idle",
    os.SCHED_FIFO: "fifo",
    os.SCHED_RR: "rr",
}
# Files of a control group that limit what its processes may use.
_LIMITS = (
    *("cpu.max", "cpu.weight", "cpuset.cpus.effective", "memory.max", "memory.high", "io.max"),
    *("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "cpuset.effective_cpus"),
    "memory.limit_in_bytes",
)
# What stands for no limit, which is the same as none being there; and what every group has.
_UNLIMITED = frozenset({"max", "-1", "max 100000", "", "9223372036854771712"})
_USUAL = {"cpu.shares": "1024", "cpu.weight": "100", "cpu.cfs_period_us": "100000"}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """How the system treats a server.

    Attributes:
        port: Its port.
        scheduling: Policy, priority and niceness of its threads, each kind once.
        cpus: CPUs on which its threads may run, each set once.
        limits: Limits of its control groups, and of those above; those that do not limit are left
            out.
    """

    port: int
    scheduling: tuple[str, ...]
    cpus: tuple[str, ...]
    limits: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host, as far as it decides how fast a server answers; None where it does not tell.

    Attributes:
        id: Tells this machine from others, and leads back to none.
        kernel: The kernel's release.
        architecture: `x86_64`, for example.
        cpus: CPUs that are online.
        cpu: Model of the CPU.
        memory: Memory, bytes.
        preemption: The kernel's preemption model.
        governor: Governor of the CPUs' frequency; several if CPUs differ.
        transparent_hugepages: `always`, `madvise` or `never`.
        interrupts: CPUs that take the interrupts of each device.
        servers: The servers that were there.
    """

    id: str | None
    kernel: str
    architecture: str
    cpus: int
    cpu: str | None = None
    memory: int | None = None
    preemption: str | None = None
    governor: str | None = None
    transparent_hugepages: str | None = None
    interrupts: Mapping[str, str] = field(default_factory=dict)
    servers: tuple[ServerFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class HostDifference:
    """A fact about the hosts that differs.

    Attributes:
        what: The fact.
        a: Its value in A; None if that is not known.
        b: Its value in B.
    """

    what: str
    a: str | None
    b: str | None


def read_host(servers: Iterable[tuple[int, int | None]] = ()) -> HostFacts:
    """Read the facts now, and those of some servers: port and process of each."""
    known = ((port, process) for port, process in servers if process is not None)
    return HostFacts(
        id=_id(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpus=os.cpu_count() or 1,
        cpu=_value(PROC / "cpuinfo", "model name"),
        memory=_memory(),
        preemption=_preemption(),
        governor=_governor(),
        transparent_hugepages=_chosen(_read(SYS / "kernel/mm/transparent_hugepage/enabled")),
        interrupts=dict(_interrupts()),
        servers=tuple(sorted((_server(*one) for one in known), key=lambda one: one.port)),
    )


def differing(a: HostFacts | None, b: HostFacts | None) -> Iterator[HostDifference]:
    """Yield each fact that is known of either side and differs; ids are no such fact."""
    if a is None or b is None:
        return
    texts: Mapping[str, tuple[object, object]] = {
        "kernel": (a.kernel, b.kernel),
        "architecture": (a.architecture, b.architecture),
        "CPUs": (a.cpus, b.cpus),
        "CPU model": (a.cpu, b.cpu),
        "memory": (a.memory, b.memory),
        "preemption model": (a.preemption, b.preemption),
        "frequency governor": (a.governor, b.governor),
        "transparent huge pages": (a.transparent_hugepages, b.transparent_hugepages),
    }
    for what, (one, other) in texts.items():
        if one != other:
            yield HostDifference(what, _text(one), _text(other))
    yield from _mapped("interrupts of", a.interrupts, b.interrupts)
    yield from _servers_differing(a.servers, b.servers)


def _servers_differing(
    a: Sequence[ServerFacts], b: Sequence[ServerFacts]
) -> Iterator[HostDifference]:
    """Compare servers in the order of their ports, which may be others in a second run."""
    if len(a) != len(b):
        yield HostDifference("servers", str(len(a)), str(len(b)))
    for one, other in zip(a, b, strict=False):
        name = f"port {one.port}" if one.port == other.port else f"port {one.port}, {other.port}"
        pairs = {
            "scheduling policy of the threads": (one.scheduling, other.scheduling),
            "CPUs of the threads": (one.cpus, other.cpus),
        }
        for what, (first, second) in pairs.items():
            if first != second:
                yield HostDifference(f"{what}, {name}", _listed(first), _listed(second))
        yield from _mapped(f"control group of {name}:", one.limits, other.limits)


def _mapped(what: str, a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[HostDifference]:
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            yield HostDifference(f"{what} {name}", a.get(name), b.get(name))


def _listed(values: Sequence[str]) -> str:
    return "; ".join(values)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _id() -> str | None:
    for path in _MACHINE_IDS:
        machine = _read(path).strip()
        if machine:
            return hashlib.sha256(_PURPOSE + machine.encode()).hexdigest()[:_ID_DIGITS]
    return None


def _memory() -> int | None:
    words = (_value(PROC / "meminfo", "MemTotal") or "").split()
    return int(words[0]) * 1024 if words and words[0].isdecimal() else None


def _preemption() -> str | None:
    """Return the active model, of `none voluntary (full) lazy`; else that of the build."""
    models = _read(SYS / "kernel/debug/sched/preempt")
    _, _, rest = models.partition("(")
    if rest:
        return rest.partition(")")[0]
    words = platform.version().split()
    return next((word for word in words if word.startswith("PREEMPT")), None)


def _governor() -> str | None:
    paths = (SYS / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    found = sorted({text for path in paths if (text := _read(path).strip())})
    return ", ".join(found) or None


def _interrupts() -> Iterator[tuple[str, str]]:
    with suppress(OSError):
        folders = sorted((PROC / "irq").iterdir())
        for folder in folders[: 2 * _MOST_DEVICES]:
            if not folder.is_dir():
                continue
            cpus = _read(folder / "effective_affinity_list") or _read(folder / "smp_affinity_list")
            for device in folder.iterdir():
                if device.is_dir():
                    yield device.name, cpus.strip()


def _server(port: int, process: int) -> ServerFacts:
    scheduling, cpus = set(), set()
    with suppress(OSError):
        for folder in (PROC / str(process) / "task").iterdir():
            with suppress(OSError):
                thread = int(folder.name)
                scheduling.add(_scheduling(thread))
                cpus.add(_value(folder / "status", "Cpus_allowed_list") or "")
    return ServerFacts(port, tuple(sorted(scheduling)), tuple(sorted(cpus)), dict(_limits(process)))


def _scheduling(thread: int) -> str:
    policy = os.sched_getscheduler(thread)
    name = _POLICIES.get(policy, str(policy))
    priority = os.sched_getparam(thread).sched_priority
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    return name + f" {priority}" * bool(priority) + f", nice {nice}" * bool(nice)


def _limits(process: int) -> Iterator[tuple[str, str]]:
    """Yield each limit of a process's control groups: the nearest one of a name counts."""
    found: dict[str, str] = {}
    online = _read(SYS / "devices/system/cpu/online").strip()
    for line in _read(PROC / str(process) / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in _mounts(controllers):
            folder = mount / path.lstrip("/")
            while folder == mount or mount in folder.parents:
                for name in _LIMITS:
                    text = _read(folder / name).strip()
                    if text and text not in _UNLIMITED and name not in found:
                        found[name] = text
                folder = folder.parent
    for name, text in found.items():
        is_all = name.startswith("cpuset") and text == online
        if _USUAL.get(name) != text and not is_all:
            yield name, text


def _mounts(controllers: str) -> Iterator[Path]:
    for line in _read(PROC / "self/mounts").splitlines():
        _, folder, kind, options, *_ = line.split(" ")
        of_first = set(controllers.split(",")) & set(options.split(","))
        if (kind == "cgroup" and of_first) or (kind == "cgroup2" and not controllers):
            yield Path(folder)


def _chosen(text: str) -> str | None:
    """Return the word in brackets."""
    return next((word.strip("[]") for word in text.split() if word.startswith("[")), None)


def _value(path: Path, name: str) -> str | None:
    for line in _read(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
