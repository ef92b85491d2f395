"""This machine → which sources work here, found by trying, and what would change that."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from membench import sources
from membench._results import from_json
from membench._doctor.calibration import measure
from membench.errors import UsageError
from membench._doctor.forecast import PUBLISHED, Constants, Forecast, forecast
from membench._doctor.host import Identity, Machine, Target, find_target, read_identity, read_machine
from membench._doctor.policy import Policy, can_see_others, read_policy
from membench._doctor.toolchain import Tool, find_tools

# What the engine tries, also where it could not be.
_HOOKS = (
    "sock_recv_length",
    "sock_send_length",
    "inet_sock_set_state",
    "tcp_rcv_space_adjust",
    "traffic control",
)

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
    hooks: str | None
    why: str | None
    remedy: str | None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceVerdict:
    """Whether a source works here.

    Attributes:
        source: As `record` takes it.
        why: What was found.
        remedies: Commands or lines that would change a no.
        checks: Each thing that was tried.
        needs: Capabilities it takes.
        missing: Those of them that this process does not hold.
    """

    source: str
    works: bool
    why: str
    remedies: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    needs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def scheme(self) -> str:
        """Its first word: `ebpf`."""
        return self.source.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything `membench doctor` found; `calibration` and `tools` only when asked for.

    Attributes:
        calibration: What recording costs here; None where recording does not work, too.
        calibrates: Whether that was asked for.
    """

    machine: Machine
    identity: Identity
    targets: tuple[Target, ...]
    sources: tuple[SourceVerdict, ...]
    policy: Policy | None = None
    sees_others: bool = True
    forecasts: tuple[Forecast, ...] = ()
    tools: tuple[Tool, ...] | None = None
    calibration: Constants | None = None
    calibrates: bool = False

    def works(self, name: str) -> bool:
        """Whether this works: a source (`ebpf:any`), its scheme, a hook, or `build`.

        Raises:
            UsageError: Nothing has that name.
        """
        if name == "build" and self.tools is not None:
            return all(tool.works for tool in self.tools)
        found = [one.works for one in self.sources if name in (one.source, one.scheme)]
        found += [check.works for one in self.sources for check in one.checks if check.name == name]
        if not found and name not in _HOOKS:
            known = {one.scheme for one in self.sources} | {one.source for one in self.sources}
            names = ", ".join(sorted(known | set(_HOOKS) | {"build"}))
            raise UsageError(f"nothing is called {name!r}", f"there are {names}")
        return any(found)


def diagnose(
    ports: tuple[int, ...] = (11211,), *, calibrate: bool = False, build: bool = False
) -> Diagnosis:
    """Look at the machine, you and the servers, and try every source.

    Args:
        ports: Where servers listen.
        calibrate: Measure what recording costs here, on a private memcached (some 10 s), for the
            forecast.
        build: Look for what rebuilding the kernel object takes.
    """
    from membench import _native  # noqa: PLC0415 - importing membench stays quick

    probe = from_json(Probe, _native.probe_ebpf())
    identity = read_identity()
    found = (find_target(port) for port in ports)
    targets = tuple(target for target in found if target is not None)
    calibration = measure() if calibrate and probe.works else None
    constants = PUBLISHED if calibration is None else (calibration,)
    forecasts = (forecast(target, constants) for target in targets)
    return Diagnosis(
        machine=read_machine(),
        identity=identity,
        targets=targets,
        sources=(
            judge_sockets(probe, identity),
            *(
                judge_packets(name, from_json(Probe, _native.probe_packets(name)), identity)
                for name in ("any", *_interfaces_up())
            ),
            judge_interface(from_json(Probe, _native.probe_interface()), identity),
            SourceVerdict("FILE.pcap", True, "packets of a file: needs no permission"),
            judge_log(targets),
        ),
        policy=read_policy(),
        sees_others=can_see_others(),
        forecasts=tuple(one for one in forecasts if one is not None),
        tools=find_tools() if build else None,
        calibration=calibration,
        calibrates=calibrate,
    )


def judge_sockets(probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the engine's try-out into a verdict on `ebpf:any`."""
    needs = ("CAP_BPF", "CAP_PERFMON")
    held = set(identity.capabilities)
    missing = () if "CAP_SYS_ADMIN" in held else tuple(one for one in needs if one not in held)
    if probe.works:
        why = f"{probe.hooks}: loaded, attached, fired and detached"
        return SourceVerdict("ebpf:any", True, why, (), probe.checks, needs, missing)
    why = probe.why or "the programs could not be loaded"
    remedies = _grants(missing) if missing else (probe.remedy,) if probe.remedy else ()
    return SourceVerdict("ebpf:any", False, why, remedies, probe.checks, needs, missing)


def judge_interface(probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the try-out of the loopback interface into a verdict on `ebpf:INTERFACE`."""
    source, needs = "ebpf:INTERFACE", ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")
    held = set(identity.capabilities)
    missing = () if "CAP_SYS_ADMIN" in held else tuple(one for one in needs if one not in held)
    if probe.works:
        why = f"{probe.hooks}: loaded, attached to lo, fired and detached"
        return SourceVerdict(source, True, why, (), probe.checks, needs, missing)
    why = probe.why or "the programs could not be loaded"
    remedies = _grants(missing, source) if missing else (probe.remedy,) if probe.remedy else ()
    return SourceVerdict(source, False, why, remedies, probe.checks, needs, missing)


def judge_packets(interface: str, probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the try-out of an interface into a verdict on `pcap:INTERFACE`."""
    source, needs = f"pcap:{interface}", ("CAP_NET_RAW",)
    missing = tuple(one for one in needs if one not in identity.capabilities)
    if probe.works:
        opened = "".join(check.detail or "" for check in probe.checks[:1])
        return SourceVerdict(source, True, f"opened: {opened}", (), probe.checks, needs, missing)
    remedies = _grants(missing, source) if missing else (probe.remedy,) if probe.remedy else ()
    why = probe.why or "it could not be opened"
    return SourceVerdict(source, False, why, remedies, probe.checks, needs, missing)


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


def judge_log(targets: tuple[Target, ...]) -> SourceVerdict:
    """Say whether memcached's own log can be watched, which takes no privileges."""
    open_to = [target.port for target in targets if target.watchable]
    if open_to:
        why = f"port {open_to[0]} lets you watch: no privileges, but no server time and no batches"
        return SourceVerdict("watch:HOST:PORT", True, why)
    why = "no server on these ports answers `watch`" if targets else "no server on these ports"
    return SourceVerdict("watch:HOST:PORT", False, why, ("membench doctor --port PORT",))


def _grants(missing: tuple[str, ...], source: str = "ebpf:any") -> tuple[str, ...]:
    """Ways to hold these capabilities, each a line that can be copied."""
    short = [name.removeprefix("CAP_") for name in missing]
    return (
        f"sudo {sys.executable} -m membench record {source} PROFILE.mb",
        f"systemd: AmbientCapabilities={' '.join(missing)}",
        f"docker run {' '.join(f'--cap-add {name}' for name in short)} --network host …",
        f"Kubernetes: securityContext: {{capabilities: {{add: [{', '.join(short)}]}}}}, "
        "hostNetwork: true",
    )
