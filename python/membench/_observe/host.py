"""/proc and control groups → steal, and time for which servers were throttled by their quota."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from membench._doctor.host import whole_number
from membench._observe.results import Host
from membench._observe.tcp import read_tcp_counters

PROC = Path("/proc")
# Position of steal among the times of `cpu` in /proc/stat. Those of guests, which follow, are in
# the first two.
_STEAL, _TIMES = 7, 8


@dataclass(frozen=True, slots=True)
class HostCounters:
    """Counters of the machine and of the servers' control groups, since they began.

    Attributes:
        steal: Time that the hypervisor gave to others, in ticks.
        all_times: Time of all CPUs, in ticks.
        throttled: Time for which each control group was throttled, ns, and the periods.
        pressure_us: Time in which some task waited, by resource, µs.
        tcp: Counters of TCP, by their names.
        reclaims: Direct reclaims since the start; None if the kernel does not tell.
        time_s: Moment of the look, s.
    """

    steal: int
    all_times: int
    throttled: Mapping[Path, tuple[int, int]]
    pressure_us: dict[str, int]
    tcp: dict[str, int]
    reclaims: int | None
    time_s: float

    def until(self, later: HostCounters) -> Host:
        """Return what came between these and later counters."""
        passed = later.all_times - self.all_times
        length = later.time_s - self.time_s
        # Without a first look, how much of a group's sum came in this interval is not known.
        both = self.throttled.keys() & later.throttled.keys()
        return Host(
            steal=max(later.steal - self.steal, 0) / passed if passed > 0 else 0.0,
            throttled_ns=self._throttled(later, both, 0) if both else None,
            periods_throttled=self._throttled(later, both, 1),
            pressure={
                name: (total - self.pressure_us[name]) / 1e6 / length
                for name, total in later.pressure_us.items()
                if name in self.pressure_us and length > 0
            },
            tcp={
                name: max(value - self.tcp[name], 0)
                for name, value in later.tcp.items()
                if name in self.tcp
            },
            reclaims=(
                max(later.reclaims - self.reclaims, 0)
                if later.reclaims is not None and self.reclaims is not None
                else None
            ),
        )

    def _throttled(self, later: HostCounters, groups: Iterable[Path], place: int) -> int:
        """Return the growth of the time (place 0) or of the periods (1) over some groups."""
        grown = (later.throttled[one][place] - self.throttled[one][place] for one in groups)
        return sum(max(growth, 0) for growth in grown)


def read_counters(processes: Iterable[int]) -> HostCounters:
    """Read the counters now; those of control groups in which any of the processes is."""
    times = [whole_number(word) or 0 for word in _cpu_line(_read(PROC / "stat"))][:_TIMES]
    groups = {group for process in processes for group in _groups(process)}
    found = {group: parse_throttled(_read(group)) for group in groups}
    return HostCounters(
        steal=times[_STEAL] if len(times) > _STEAL else 0,
        all_times=sum(times),
        throttled={group: counted for group, counted in found.items() if counted is not None},
        pressure_us=dict(_pressures()),
        tcp=read_tcp_counters(),
        reclaims=parse_reclaims(_read(PROC / "vmstat")),
        time_s=time.monotonic(),
    )


def parse_throttled(text: str) -> tuple[int, int] | None:
    """Read ns and periods from a `cpu.stat` of either version; None if it counts neither."""
    pairs = (line.partition(" ") for line in text.splitlines())
    numbers = ((name, whole_number(value)) for name, _, value in pairs)
    values = {name: number for name, number in numbers if number is not None}
    if "throttled_usec" in values:
        return values["throttled_usec"] * 1000, values.get("nr_throttled", 0)
    if "throttled_time" in values:
        return values["throttled_time"], values.get("nr_throttled", 0)
    return None


def parse_reclaims(text: str) -> int | None:
    """Read the number of direct reclaims from /proc/vmstat, over all zones."""
    pairs = (line.partition(" ") for line in text.splitlines())
    numbers = [whole_number(value) for name, _, value in pairs if name.startswith("allocstall")]
    return sum(number or 0 for number in numbers) if numbers else None


def _pressures() -> Iterator[tuple[str, int]]:
    for name in ("cpu", "memory", "io"):
        words = _read(PROC / "pressure" / name).partition("\n")[0].split()
        total = next((word for word in words if word.startswith("total=")), "")
        number = whole_number(total.removeprefix("total="))
        if number is not None:
            yield name, number


def _cpu_line(text: str) -> list[str]:
    first = text.partition("\n")[0].split()
    return first[1:] if first[:1] == ["cpu"] else []


def _groups(process: int) -> Iterator[Path]:
    """Return the `cpu.stat` of a process's control group, and of those above it."""
    for line in _read(PROC / str(process) / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        mount = _mount(controllers)
        if mount is None:
            continue
        folder = mount / path.lstrip("/")
        while folder != mount and mount in folder.parents:
            yield folder / "cpu.stat"
            folder = folder.parent


def _mount(controllers: str) -> Path | None:
    """Return where the hierarchy with CPU quotas is mounted, if these controllers are its."""
    if controllers and "cpu" not in controllers.split(","):
        return None
    for line in _read(PROC / "self" / "mounts").splitlines():
        _, folder, kind, options, *_ = line.split(" ")
        if controllers == "" and kind == "cgroup2":
            return Path(folder)
        if controllers and kind == "cgroup" and "cpu" in options.split(","):
            return Path(folder)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
