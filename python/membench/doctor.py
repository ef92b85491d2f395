"""This machine → which sources work here, found by trying, and what would change that."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from membench import sources
from membench._results import from_json
from membench.host import Identity, Machine, Target, find_target, read_identity, read_machine

INTERFACES_TRIED = 4


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried, and how it ended."""

    name: str
    works: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What the engine found by loading, attaching and firing its programs."""

    works: bool
    tier: str | None
    why: str | None
    remedy: str | None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceVerdict:
    """Whether a source works here; `remedies` are commands that would change a no."""

    source: str
    works: bool
    why: str
    remedies: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything `membench doctor` found."""

    machine: Machine
    identity: Identity
    targets: tuple[Target, ...]
    sources: tuple[SourceVerdict, ...]

    def works(self, scheme: str) -> bool:
        """Whether any source of this scheme (`ebpf`) works."""
        return any(one.works for one in self.sources if one.source.startswith(f"{scheme}:"))


def diagnose(ports: tuple[int, ...] = (11211,)) -> Diagnosis:
    """Try every source of this version."""
    from membench import _native  # noqa: PLC0415 - importing membench stays quick

    probe = from_json(Probe, _native.probe_ebpf())
    identity = read_identity()
    found = (find_target(port) for port in ports)
    return Diagnosis(
        machine=read_machine(),
        identity=identity,
        targets=tuple(target for target in found if target is not None),
        sources=(
            judge_sockets(probe, identity),
            *(
                judge_packets(name, from_json(Probe, _native.probe_packets(name)), identity)
                for name in ("any", *_interfaces_up())
            ),
            SourceVerdict("FILE.pcap", True, "packets of a file: needs no permission"),
            SourceVerdict("watch:HOST:PORT", True, "memcached's own log: needs no permission"),
            *_not_built(),
        ),
    )


def judge_sockets(probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the engine's try-out into a verdict on `ebpf:any`."""
    if probe.works:
        why = f"{probe.tier}: loaded, attached and fired"
        return SourceVerdict("ebpf:any", True, why, (), probe.checks)
    why = probe.why or "the programs could not be loaded"
    return SourceVerdict("ebpf:any", False, why, _remedies(probe, identity), probe.checks)


def judge_packets(interface: str, probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the try-out of an interface into a verdict on `pcap:INTERFACE`."""
    source = f"pcap:{interface}"
    if probe.works:
        opened = "".join(check.detail or "" for check in probe.checks[:1])
        return SourceVerdict(source, True, f"opened: {opened}", (), probe.checks)
    remedies: tuple[str, ...] = (probe.remedy,) if probe.remedy else ()
    if "CAP_NET_RAW" not in identity.capabilities:
        remedies += (
            f"sudo {sys.executable} -m membench record {source} PROFILE.mb",
            "docker run --cap-add NET_RAW --network host …",
        )
    return SourceVerdict(source, False, probe.why or "it could not be opened", remedies)


def _interfaces_up() -> tuple[str, ...]:
    """Name the first few interfaces that are up."""
    up = []
    for name in sorted(sources.list_interfaces()):
        try:
            state = (sources.INTERFACES / name / "operstate").read_text().strip()
        except OSError:
            continue
        up += [name] if state in {"up", "unknown"} else []
    return tuple(up[:INTERFACES_TRIED])


def _remedies(probe: Probe, identity: Identity) -> tuple[str, ...]:
    held = set(identity.capabilities)
    if {"CAP_BPF", "CAP_PERFMON"} <= held or "CAP_SYS_ADMIN" in held:
        return (probe.remedy,) if probe.remedy else ()
    return (
        f"sudo {sys.executable} -m membench record ebpf:any PROFILE.mb",
        "docker run --cap-add BPF --cap-add PERFMON …",
    )


def _not_built() -> tuple[SourceVerdict, ...]:
    """The sources that are understood but not in this version."""
    return tuple(
        SourceVerdict(source, False, "not in this version") for source in ("ebpf:INTERFACE",)
    )
