"""Diagnosis → text."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench._doctor.diagnose import Diagnosis, SourceVerdict, Trial
from membench._doctor.forecast import Forecast, OperationCost
from membench._doctor.host import Identity, Machine, Server
from membench._doctor.policy import KernelPolicy
from membench._doctor.toolchain import Tool
from membench.report.numbers import count, duration, percent, rate, size


def render_diagnosis(diagnosis: Diagnosis) -> RenderableType:
    """Lay out the machine, you, the servers, and a row a source."""
    facts = Table.grid(padding=(0, 3))
    facts.add_column(no_wrap=True)
    facts.add_column()
    facts.add_row("machine", _machine(diagnosis.machine))
    if diagnosis.policy is not None:
        facts.add_row("policy", _policy(diagnosis.policy))
    facts.add_row("you", _identity(diagnosis.identity))
    if not diagnosis.sees_others:
        facts.add_row(
            "", "other users' processes are hidden from you: a server's pid is its own answer"
        )
    _add_servers(facts, diagnosis)
    parts: list[RenderableType] = [facts, Text(), _sources(diagnosis.sources)]
    hooks = [check for one in diagnosis.sources for check in one.checks]
    if hooks:
        parts += [Text(), _checks("tried", hooks)]
    if diagnosis.tools is not None:
        parts += [Text(), _tools(diagnosis.tools)]
    return Group(*parts)


def _add_servers(facts: Table, diagnosis: Diagnosis) -> None:
    for server in diagnosis.servers:
        facts.add_row("server", _server(server))
    if not diagnosis.servers:
        facts.add_row("server", Text(_no_server(diagnosis)))
    if diagnosis.calibrates:
        facts.add_row("calibrated", _calibration(diagnosis.calibration))
    for forecast in diagnosis.forecasts:
        facts.add_row("forecast", _forecast(forecast))


def _no_server(diagnosis: Diagnosis) -> str:
    nothing = "nothing listens on the ports asked for"
    if diagnosis.elsewhere:
        return f"{nothing}; memcached runs here on {diagnosis.elsewhere}: `--port` names it"
    return f"{nothing}, and no memcached runs here, as far as you can see"


def _machine(machine: Machine) -> Text:
    place = f", in a container ({machine.container})" if machine.container else ""
    return Text(
        f"{machine.system} {machine.kernel} {machine.architecture}, {machine.cpus} CPUs, "
        f"BTF {'yes' if machine.btf else 'no'}, lockdown {machine.lockdown}{place}"
    )


def _identity(identity: Identity) -> Text:
    held = ", ".join(identity.capabilities) or "no capabilities for recording"
    apart = ", in a user namespace (a rootless container?)" if identity.user_namespace else ""
    return Text(f"uid {identity.uid}{apart}, {held}")


def _server(server: Server) -> Text:
    parts = [f"memcached {server.version}" if server.version else "a server that is not memcached"]
    parts.append(f"pid {server.pid}" if server.pid else "pid hidden from you")
    parts.append(f"port {server.port}")
    text = " ".join(parts)
    if server.threads is not None:
        text += f", {server.threads} threads"
    if server.connections is not None:
        text += f", {count(server.connections)} connections"
    if server.operations_per_s is not None:
        text += f", {rate(server.operations_per_s)}"
    return Text(text)


def _sources(verdicts: tuple[SourceVerdict, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("source", no_wrap=True)
    table.add_column("works", no_wrap=True)
    table.add_column("why, and what would change it", overflow="fold")
    for verdict in verdicts:
        lines = [verdict.why]
        if verdict.needs and not verdict.works and not verdict.remedies:
            lines.append(f"needs {', '.join(verdict.needs)}")
        lines += [f"→ {remedy}" for remedy in verdict.remedies]
        table.add_row(verdict.source, "yes" if verdict.works else "no", Text("\n".join(lines)))
    return table


def _policy(policy: KernelPolicy) -> Text:
    words = [
        f"unprivileged BPF {policy.unprivileged_bpf or 'unknown'}",
        f"perf_event_paranoid {_or_unknown(policy.perf_event_paranoid)}",
        f"JIT {_yes(policy.jit)}",
        f"seccomp {policy.seccomp or 'unknown'}",
        f"security modules {', '.join(policy.modules) or 'unknown'}",
    ]
    if policy.virtual:
        words.append(f"hardware by {policy.virtual}")
    return Text(", ".join(words))


def _or_unknown(value: object) -> object:
    return "unknown" if value is None else value


def _yes(value: bool | None) -> str:
    return {True: "on", False: "off", None: "unknown"}[value]


def _forecast(forecast: Forecast) -> Text:
    share = ""
    idle = " (idle now)" if forecast.idle else ""
    if forecast.server_share is not None:
        share = f" (+{_between(forecast.server_share, percent)})"
    return Text(
        f"recording port {forecast.port}{idle} at {rate(forecast.operations_per_s)}: "
        f"≈ {_between(forecast.recorder_cpus, _cpus)} CPU here, "
        f"{_between(forecast.bytes_per_s, size)}/s on disk, "
        f"≈ +{_between(forecast.server_cpus, _cpus)} CPU{share} in memcached\n"
        f"from {forecast.measured}\n"
        "not decoded: TLS, and `get` lines of more than 512 KiB (`record_limit`)"
    )


def _calibration(found: OperationCost | None) -> Text:
    if found is None:
        return Text("no: `ebpf:any` does not work here; the forecast uses published costs")
    return Text(
        f"an operation costs {duration(found.recorder_ns)} CPU here, {found.bytes:.1f} B on disk, "
        f"+{duration(found.server_ns)} CPU in memcached\n{found.measured}"
    )


def _between(values: tuple[float, float], write: Callable[[float], str]) -> str:
    least, most = (write(value) for value in values)
    return least if least == most else f"{least} to {most}"


def _cpus(value: float) -> str:
    return f"{value:.2f}"


def _checks(title: str, checks: Iterable[Trial]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column(title, no_wrap=True)
    table.add_column("works", no_wrap=True)
    table.add_column("what was seen", overflow="fold")
    for check in checks:
        table.add_row(check.name, "yes" if check.works else "no", Text(check.detail or ""))
    return table


def _tools(tools: Iterable[Tool]) -> Table:
    as_checks = (
        Trial(tool.name, tool.works, tool.found if tool.works else f"→ {tool.remedy}")
        for tool in tools
    )
    return _checks("to rebuild", as_checks)
