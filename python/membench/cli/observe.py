"""`membench observe`: servers → what they do, where their requests' time goes, who had the CPU."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from membench._files import OutputFile, created
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
from membench.errors import UsageError

if TYPE_CHECKING:
    from membench._observe.observe import Observation, ObserveInterval
    from membench._observe.prometheus import Metrics


# Slow requests that are listed of an interval, unless told otherwise.
_KEPT = 100


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
    slower_than: Annotated[
        float | None,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="With --requests, also list each request that took at least this long.",
            rich_help_panel=groups.SLOW,
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default="100",
            help="The most that are listed of an interval: the longest.",
            rich_help_panel=groups.SLOW,
        ),
    ] = None,
    perfetto: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="Also write them as a timeline for ui.perfetto.dev.",
            rich_help_panel=groups.SLOW,
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS:PORT",
            help="Also serve figures to Prometheus there: `127.0.0.1:9150`.",
        ),
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    force: Annotated[bool, typer.Option("--force", help="Replace existing output.")] = False,
) -> int:
    """Observe servers: what they do, where the time of requests goes, and who had their CPU.

    Without --requests this loads nothing into the kernel and takes no privilege.

    \b
    Example: sudo python -m membench observe --requests -d 10s
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench

    if (perfetto is not None or keep is not None) and slower_than is None:
        raise UsageError(
            "--keep and --perfetto are for slow requests, and none are asked for",
            "add `--slower-than`",
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        metrics = stack.enter_context(_metrics(listen)) if listen is not None else None
        timeline = stack.enter_context(created(perfetto, force)) if perfetto else None
        observed = stack.enter_context(
            membench.observe(
                source,
                requests=requests,
                drop_privileges=True,
                selection=Selection(
                    ports=joined(port),
                    pids=joined(pid),
                    cgroups=cgroup or (),
                    network_namespaces=netns or (),
                ),
                duration_s=duration,
                interval_s=interval,
                slower_than_s=slower_than,
                keep=_KEPT if keep is None else keep,
            )
        )
        # The servers go first: an observer would be one of the neighbours that it accuses.
        os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        noted(signal.SIGINT, signal.SIGTERM, then=observed.stop)
        if metrics is not None:
            output.say(f"figures for Prometheus: http://{metrics.serve()}/metrics")
        is_json = format is Format.JSON
        if duration is None and not is_json:
            listed = ", ".join(str(port) for port in observed.ports)
            output.say(f"port {listed}: observed, Ctrl-C ends")
        return _show_all(observed, is_json, timeline, metrics)


def _metrics(listen: str) -> Metrics:
    try:
        from membench._observe.prometheus import Metrics
    except ImportError as error:
        raise UsageError(
            "figures for Prometheus take the library `prometheus-client`",
            "pip install 'membench[prometheus]'",
        ) from error
    return Metrics(listen)


def _show_all(
    observed: Observation,
    is_json: bool,
    timeline: OutputFile | None,
    metrics: Metrics | None,
) -> int:
    """Show each interval; return an exit code that tells if requests are missing."""
    left_out = 0
    if timeline is not None:
        timeline.write(observed.timeline())
    for number, interval in enumerate(observed):
        if timeline is not None:
            timeline.write(observed.timeline())
        if metrics is not None:
            metrics.add(interval)
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
    lost = interval.misses.lost if interval.misses is not None else 0
    return lost + interval.slow_unread
