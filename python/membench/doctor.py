"""This machine → which sources work here, found by trying, and what would change that."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from membench._results import from_json
from membench.host import Identity, Machine, Target, find_target, read_identity, read_machine


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
        sources=(judge_sockets(probe, identity), *_not_built()),
    )


def judge_sockets(probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the engine's try-out into a verdict on `ebpf:any`."""
    if probe.works:
        why = f"{probe.tier}: loaded, attached and fired"
        return SourceVerdict("ebpf:any", True, why, (), probe.checks)
    why = probe.why or "the programs could not be loaded"
    return SourceVerdict("ebpf:any", False, why, _remedies(probe, identity), probe.checks)


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
        SourceVerdict(source, False, "not in this version")
        for source in ("ebpf:INTERFACE", "pcap:INTERFACE", "watch:HOST:PORT")
    )
