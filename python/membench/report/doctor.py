"""Diagnosis → text."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from membench.doctor import Diagnosis, SourceVerdict
from membench.host import Identity, Machine, Target
from membench.report.numbers import count, rate


def render_diagnosis(diagnosis: Diagnosis) -> RenderableType:
    """Lay out the machine, you, the servers, and a row a source."""
    facts = Table.grid(padding=(0, 3))
    facts.add_column(no_wrap=True)
    facts.add_column()
    facts.add_row("machine", _machine(diagnosis.machine))
    facts.add_row("you", _identity(diagnosis.identity))
    for target in diagnosis.targets:
        facts.add_row("target", _target(target))
    if not diagnosis.targets:
        facts.add_row("target", "nothing listens on that port; recording would wait for it")
    return Group(facts, Text(), _sources(diagnosis.sources))


def _machine(machine: Machine) -> Text:
    place = f", in a container ({machine.container})" if machine.container else ""
    return Text(
        f"{machine.system} {machine.kernel} {machine.architecture}, {machine.cpus} CPUs, "
        f"BTF {'yes' if machine.btf else 'no'}, lockdown {machine.lockdown}{place}"
    )


def _identity(identity: Identity) -> Text:
    held = ", ".join(identity.capabilities) or "no capabilities that matter here"
    return Text(f"uid {identity.uid}, {held}")


def _target(target: Target) -> Text:
    parts = [f"memcached {target.version}" if target.version else "a server that is no memcached"]
    parts.append(f"pid {target.pid}" if target.pid else "pid not visible to you")
    parts.append(f"port {target.port}")
    text = " ".join(parts)
    if target.threads is not None:
        text += f", {target.threads} threads"
    if target.connections is not None:
        text += f", {count(target.connections)} connections"
    if target.operations_per_s is not None:
        text += f", {rate(target.operations_per_s)}"
    return Text(text)


def _sources(verdicts: tuple[SourceVerdict, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("source", no_wrap=True)
    table.add_column("works", no_wrap=True)
    table.add_column("why, and what would change it", overflow="fold")
    for verdict in verdicts:
        lines = [verdict.why]
        lines += [f"{check.name}: {check.detail}" for check in verdict.checks if not check.works]
        lines += [f"→ {remedy}" for remedy in verdict.remedies]
        table.add_row(verdict.source, "yes" if verdict.works else "no", Text("\n".join(lines)))
    return table
