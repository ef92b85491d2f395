"""`membench observe`: servers → what they do, where their requests' time goes, who had the CPU."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from membench._options import Selection
from membench.cli import groups, output
from membench.cli.bounds import NICE, DurationOption
from membench.cli.exits import SHORT
from membench.cli.output import Format, FormatOption
from membench.cli.selection import (
    CgroupOption,
    NetnsOption,
    PidOption,
    joined,
    parse_named_ports,
)
from membench.cli.signals import noted
from membench.cli.units import parse_duration

if TYPE_CHECKING:
    from membench._observe.observe import Observation, ObserveInterval


def command(  # noqa: PLR0917 - Typer makes options of arguments
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="`ebpf:any`: the servers of this machine."),
    ] = "ebpf:any",
    requests: Annotated[
        bool,
        typer.Option(
            "--requests", help="Account for each request's time, at the kernel's tracepoints."
        ),
    ] = False,
    port: Annotated[
        list[Any] | None,
        typer.Option(
            parser=parse_named_ports,
            metavar="PORT",
            show_default="11211, unless --pid",
            help="Listening port of a server, or several: `11211,11212`. Repeatable, as are the"
            " next three.",
            rich_help_panel=groups.SERVERS,
        ),
    ] = None,
    pid: PidOption = None,
    cgroup: CgroupOption = None,
    netns: NetnsOption = None,
    duration: DurationOption = None,
    interval: Annotated[
        float,
        typer.Option(parser=parse_duration, metavar="TIME", help="What one report covers."),
    ] = "5s",  # type: ignore[assignment]  # Typer passes defaults through the parser
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Observe servers: what they do, where the time of requests goes, and who had their CPU.

    Without --requests this loads nothing into the kernel and takes no privilege.

    \b
    Example: sudo python -m membench observe --requests -d 10s
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    observed = membench.observe(
        source,
        requests=requests,
        drop_privileges=requests,
        selection=Selection(
            ports=joined(port),
            pids=joined(pid),
            cgroups=cgroup or (),
            network_namespaces=netns or (),
        ),
        duration_s=duration,
        interval_s=interval,
    )
    # The servers go first: an observer would be one of the neighbours that it accuses.
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    is_json = format is Format.JSON
    with observed:
        return _show_all(observed, is_json, announced=duration is None and not is_json)


def _show_all(observed: Observation, is_json: bool, *, announced: bool) -> int:
    """Show each interval; return an exit code that tells if requests are missing."""
    left_out = 0
    noted(signal.SIGINT, signal.SIGTERM, then=observed.stop)
    if announced:
        listed = ", ".join(str(port) for port in observed.ports)
        output.say(f"port {listed}: observed, Ctrl-C ends")
    for number, interval in enumerate(observed):
        left_out += _show(interval, is_json, is_first=number == 0)
    return SHORT if left_out else 0


def _show(interval: ObserveInterval, is_json: bool, *, is_first: bool) -> int:
    from membench.report.observe import render_interval

    if is_json:
        output.show_json_line(interval)
    else:
        if not is_first:
            output.show("")
        output.show(render_interval(interval))
        sys.stdout.flush()
    return interval.misses.lost if interval.misses is not None else 0
