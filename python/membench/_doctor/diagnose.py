"""This machine → a diagnosis: each source tried, and the remedy where it does not work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from membench import _arguments as check
from membench._doctor.calibration import calibrate as measure_cost
from membench._doctor.forecast import PUBLISHED, Forecast, OperationCost, forecast
from membench._doctor.host import (
    Identity,
    Machine,
    Server,
    find_server,
    read_identity,
    read_machine,
)
from membench._doctor.policy import KernelPolicy, can_see_others, read_policy
from membench._doctor.toolchain import Tool, find_tools
from membench._results import from_json
from membench._sources import INTERFACES, list_interfaces
from membench.errors import UsageError

# Names of the engine's checks, known even if a check could not run.
_HOOKS = (
    "sock_recv_length",
    "sock_send_length",
    "inet_sock_set_state",
    "tcp_rcv_space_adjust",
    "traffic control",
)

INTERFACES_TRIED = 4
IN_USER_NAMESPACE = (
    "this is a user namespace, as in a rootless container: its capabilities do not count for this"
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One step that was tried.

    Attributes:
        name: The hook or the step.
        works: True if it worked.
        detail: The observation in words.
    """

    name: str
    works: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """The engine's finding from loading, attaching and firing its programs.

    Attributes:
        works: True if the source can be recorded.
        hooks: The hooks that were attached; None if none were.
        why: The cause, if it does not work.
        remedy: A command or setting that would change that, if known.
        checks: Each step.
    """

    works: bool
    hooks: str | None
    why: str | None
    remedy: str | None
    checks: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceVerdict:
    """The verdict on one source.

    Attributes:
        source: The source, as `record` takes it.
        works: True if it works here.
        why: The finding in words.
        remedies: Commands, or lines of a configuration, that would make it work.
        checks: Each step that was tried.
        needs: Capabilities that it requires.
        missing: Required capabilities that this process does not hold.
    """

    source: str
    works: bool
    why: str
    remedies: tuple[str, ...] = ()
    checks: tuple[Trial, ...] = ()
    needs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def scheme(self) -> str:
        """The part before the colon: `ebpf`."""
        return self.source.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of `doctor`.

    Attributes:
        machine: The machine.
        identity: The user and the capabilities of this process.
        servers: The servers that listen on the ports asked for.
        sources: A verdict on each source.
        policy: The kernel's rules for loading programs.
        sees_others: True if this process may list other processes' open files, which finding a
            server's process takes.
        forecasts: The cost of recording each server that told its rate.
        tools: The tools that rebuilding the kernel object takes; None unless asked for.
        calibration: The cost of recording here; None if recording does not work or this was not
            asked for.
        calibrates: True if the calibration was asked for.
        elsewhere: The memcacheds that run here, in words, if none listens on the ports asked for.
    """

    machine: Machine
    identity: Identity
    servers: tuple[Server, ...]
    sources: tuple[SourceVerdict, ...]
    policy: KernelPolicy | None = None
    sees_others: bool = True
    forecasts: tuple[Forecast, ...] = ()
    tools: tuple[Tool, ...] | None = None
    calibration: OperationCost | None = None
    calibrates: bool = False
    elsewhere: str | None = None

    def works(self, name: str) -> bool:
        """Return True if a source (`ebpf:any`), a scheme (`ebpf`), a hook or `build` works.

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
            raise UsageError(f"nothing is called {name!r}", f"the names are {names}")
        return any(found)


def doctor(
    *, ports: Sequence[int] = (11211,), calibrate: bool = False, build: bool = False
) -> Diagnosis:
    """Examine the machine, this process and the servers, and try every source.

    Args:
        ports: Listening ports of the servers.
        calibrate: Measure the cost of recording here, on a private memcached (some 10 s), for the
            forecast.
        build: Look for the tools that rebuilding the kernel object takes.

    Raises:
        CaptureUnavailableError: Calibrating failed.
        UsageError: A port is none.
    """
    from membench import _native  # noqa: PLC0415 - importing membench stays quick

    wanted = check.ports(ports)
    probe = from_json(Probe, _native.probe_ebpf())
    identity = read_identity()
    found = (find_server(port) for port in wanted)
    servers = tuple(server for server in found if server is not None)
    calibration = measure_cost() if calibrate and probe.works else None
    costs = PUBLISHED if calibration is None else (calibration,)
    forecasts = (forecast(server, costs) for server in servers)
    return Diagnosis(
        machine=read_machine(),
        identity=identity,
        servers=servers,
        sources=(
            judge_sockets(probe, identity),
            *(
                judge_packets(name, from_json(Probe, _native.probe_packets(name)), identity)
                for name in ("any", *_interfaces_up())
            ),
            judge_interface(from_json(Probe, _native.probe_interface()), identity),
            SourceVerdict("FILE.pcap", True, "packets from a file: needs no permission"),
            judge_log(servers),
        ),
        policy=read_policy(),
        sees_others=can_see_others(),
        forecasts=tuple(one for one in forecasts if one is not None),
        tools=find_tools() if build else None,
        calibration=calibration,
        calibrates=calibrate,
        elsewhere=None if servers else _native.running_servers(),
    )


def judge_sockets(probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the engine's trial into a verdict on `ebpf:any`."""
    needs = ("CAP_BPF", "CAP_PERFMON")
    held = set(identity.capabilities)
    missing = () if "CAP_SYS_ADMIN" in held else tuple(one for one in needs if one not in held)
    if probe.works:
        why = f"{probe.hooks}: loaded, attached, fired and detached"
        return SourceVerdict("ebpf:any", True, why, (), probe.checks, needs, missing)
    why = probe.why or "the programs could not be loaded"
    return _refused("ebpf:any", why, probe, identity, needs, missing)


def judge_interface(probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the trial on the loopback interface into a verdict on `ebpf:INTERFACE`."""
    source, needs = "ebpf:INTERFACE", ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN")
    held = set(identity.capabilities)
    missing = () if "CAP_SYS_ADMIN" in held else tuple(one for one in needs if one not in held)
    if probe.works:
        why = f"{probe.hooks}: loaded, attached to lo, fired and detached"
        return SourceVerdict(source, True, why, (), probe.checks, needs, missing)
    why = probe.why or "the programs could not be loaded"
    return _refused(source, why, probe, identity, needs, missing)


def judge_packets(interface: str, probe: Probe, identity: Identity) -> SourceVerdict:
    """Turn the trial of an interface into a verdict on `pcap:INTERFACE`."""
    source, needs = f"pcap:{interface}", ("CAP_NET_RAW",)
    missing = tuple(one for one in needs if one not in identity.capabilities)
    if probe.works:
        opened = "".join(check.detail or "" for check in probe.checks[:1])
        return SourceVerdict(source, True, f"opened: {opened}", (), probe.checks, needs, missing)
    why = probe.why or "it could not be opened"
    return _refused(source, why, probe, identity, needs, missing)


def _refused(
    source: str,
    why: str,
    probe: Probe,
    identity: Identity,
    needs: tuple[str, ...],
    missing: tuple[str, ...],
) -> SourceVerdict:
    """Give the verdict on a source that does not work; a user namespace explains the rest."""
    if identity.user_namespace:
        why = f"{IN_USER_NAMESPACE} ({why})"
        remedies: tuple[str, ...] = _outside(needs, source)
    else:
        remedies = _grants(missing, source) if missing else (probe.remedy,) if probe.remedy else ()
    return SourceVerdict(source, False, why, remedies, probe.checks, needs, missing)


def _interfaces_up() -> tuple[str, ...]:
    """Name the first few interfaces that are up."""
    up = []
    for name in sorted(list_interfaces()):
        try:
            state = (INTERFACES / name / "operstate").read_text().strip()
        except OSError:
            continue
        up += [name] if state in {"up", "unknown"} else []
    return tuple(up[:INTERFACES_TRIED])


def judge_log(servers: tuple[Server, ...]) -> SourceVerdict:
    """Give the verdict on memcached's own log, which takes no privileges."""
    watchable = [server.port for server in servers if server.watchable]
    if watchable:
        why = f"port {watchable[0]} answers `watch`: no privileges, but no server time or batches"
        return SourceVerdict("watch:HOST:PORT", True, why)
    why = "no server on these ports answers `watch`" if servers else "no server on these ports"
    return SourceVerdict("watch:HOST:PORT", False, why, ("membench doctor --port PORT",))


def _outside(needs: tuple[str, ...], source: str) -> tuple[str, ...]:
    """List ways to leave a user namespace."""
    added = " ".join(f"--cap-add {name.removeprefix('CAP_')}" for name in needs)
    return (
        f"on the host, outside of the container: sudo membench record {source} PROFILE.mb",
        f"a container that root runs: sudo docker run {added} --network host …",
    )


def _grants(missing: tuple[str, ...], source: str = "ebpf:any") -> tuple[str, ...]:
    """List ways to hold these capabilities, each a line to copy."""
    short = [name.removeprefix("CAP_") for name in missing]
    return (
        f"sudo {sys.executable} -m membench record {source} PROFILE.mb",
        f"systemd: AmbientCapabilities={' '.join(missing)}",
        f"docker run {' '.join(f'--cap-add {name}' for name in short)} --network host …",
        f"Kubernetes: securityContext: {{capabilities: {{add: [{', '.join(short)}]}}}}, "
        "hostNetwork: true",
    )
