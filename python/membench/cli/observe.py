"""`membench observe`: servers → what they do, where their requests' time goes, who had the CPU."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
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
from membench.cli.units import parse_duration, parse_share
from membench.errors import UsageError
from membench.report.numbers import numbered

if TYPE_CHECKING:
    from membench._observe.hindsight import Condition, Hindsight
    from membench._observe.observe import Observation, ObserveInterval
    from membench._observe.prometheus import Metrics


# Slow requests that are listed of an interval, unless told otherwise.
_KEPT = 100
_HINDSIGHT = "add `--hindsight`, such as `--hindsight 30s`"


class Group(Enum):
    """By what the account is laid out."""

    WORKER = "worker"
    COMMAND = "command"
    CONNECTION = "connection"


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
    events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Count segments retransmitted and resets, at the kernel's tracepoints. --requests"
            " does, too.",
        ),
    ] = False,
    by: Annotated[
        list[Group] | None,
        typer.Option(
            help="With --requests, also lay the account out by each of these. Repeatable.",
        ),
    ] = None,
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
    hindsight: Annotated[
        float | None,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Show and write nothing but this time before each SIGUSR1, before --when holds,"
            " and before the end.",
            rich_help_panel=groups.HINDSIGHT,
        ),
    ] = None,
    when: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Show it also when this holds for an interval: `p99>2ms`, `lock.max>10ms`."
            " Repeatable.",
            rich_help_panel=groups.HINDSIGHT,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            parser=parse_share,
            metavar="SHARE",
            show_default="none",
            help="Step down to what costs less once the programs of an interval took more than"
            " this share of one CPU: `5%`.",
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

    Without --requests and --events this loads nothing into the kernel and takes no privilege.

    \b
    Example: sudo python -m membench observe --requests -d 10s
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench

    grouped = [one.value for one in by or ()]
    _check(perfetto, keep, slower_than, hindsight, when, grouped, requests)
    conditions = _conditions(when)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        metrics = stack.enter_context(_metrics(listen)) if listen is not None else None
        timeline = stack.enter_context(created(perfetto, force)) if perfetto else None
        observed = stack.enter_context(
            membench.observe(
                source,
                requests=requests,
                events=events,
                by=[one for one in grouped if one != Group.WORKER.value],
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
                hindsight_s=hindsight,
                max_cost=max_cost,
            )
        )
        # The servers go first: an observer would be one of the neighbours that it accuses.
        os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        noted(signal.SIGINT, signal.SIGTERM, then=observed.stop)
        if metrics is not None:
            output.say(f"figures for Prometheus: http://{metrics.serve()}/metrics")
        is_json = format is Format.JSON
        shown = Shown(is_json, Group.WORKER.value in grouped, timeline, metrics)
        if hindsight is not None:
            asked = noted(signal.SIGUSR1, then=observed.cut)
            _say_kept(observed, hindsight, when)
            return _show_kept(observed, shown, hindsight, conditions, asked)
        if duration is None and not is_json:
            output.say(f"{_ports(observed)}: observed, Ctrl-C ends")
        return _show_all(observed, shown)


def _check(
    perfetto: Path | None,
    keep: int | None,
    slower_than: float | None,
    hindsight: float | None,
    when: list[str] | None,
    grouped: list[str],
    requests: bool,
) -> None:
    """Refuse options that say nothing without another one."""
    if (perfetto is not None or keep is not None) and slower_than is None:
        raise UsageError(
            "--keep and --perfetto are for slow requests, and none are asked for",
            "add `--slower-than`",
        )
    if when and hindsight is None:
        raise UsageError("--when tells when to show hindsight, and none is asked for", _HINDSIGHT)
    if (when or grouped) and not requests:
        raise UsageError(
            "--when and --by are for requests, and none are observed", "add `--requests`"
        )


def _conditions(when: list[str] | None) -> list[Condition]:
    if not when:
        return []
    from membench._observe.hindsight import Condition

    return [Condition.parse(text) for text in when]


def _ports(observed: Observation) -> str:
    return f"port {', '.join(str(port) for port in observed.ports)}"


def _say_kept(observed: Observation, hindsight: float, when: list[str] | None) -> None:
    output.say(f"{_ports(observed)}: observed, the last {hindsight:g} s are kept")
    for condition in when or ():
        output.say(f"shown when {condition}")
    output.say(f"shown on `kill -USR1 {os.getpid()}`, and at the end")


def _metrics(listen: str) -> Metrics:
    try:
        from membench._observe.prometheus import Metrics
    except ImportError as error:
        raise UsageError(
            "figures for Prometheus take the library `prometheus-client`",
            "pip install 'membench[prometheus]'",
        ) from error
    return Metrics(listen)


def _show_all(observed: Observation, shown: Shown) -> int:
    """Show each interval; return an exit code that tells if requests are missing."""
    if shown.timeline is not None:
        shown.timeline.write(observed.timeline())
    for interval in observed:
        if shown.timeline is not None:
            shown.timeline.write(observed.timeline())
        shown.count(interval)
        shown.show(interval)
    return shown.exit_code


def _show_kept(
    observed: Observation,
    shown: Shown,
    hindsight: float,
    conditions: list[Condition],
    asked: set[int],
) -> int:
    """Show the last while on each signal and condition, and at the end, as `_show_all` does."""
    from membench._observe.hindsight import Hindsight

    kept = Hindsight(hindsight)
    for interval in observed:
        shown.count(interval)
        kept.add(interval)
        reasons = [one.text for one in conditions if one.holds(interval)]
        if asked:
            asked.clear()
            reasons.append("SIGUSR1")
        if reasons:
            _show_last(observed, shown, kept, " and ".join(reasons))
    _show_last(observed, shown, kept, "the end")
    return shown.exit_code


def _show_last(observed: Observation, shown: Shown, kept: Hindsight, why: str) -> None:
    """Show what is kept, and write its slow requests as a timeline of its own."""
    intervals = kept.take()
    if not intervals:
        return
    for interval in intervals:
        shown.show(interval)
    said = f"{why}: {sum(one.interval_s for one in intervals):.1f} s shown"
    if shown.timeline is not None:
        slow = sum(len(one.slow) for one in intervals)
        shown.timeline.write(observed.timeline())
        said += f", {numbered(slow, 'slow request')} in the timeline"
    output.say(said)


@dataclass
class Shown:
    """Destination of intervals, with a note of what was missing in them.

    Attributes:
        is_json: True to show them as lines of JSON.
        by_worker: True to lay the account out by worker in text.
        timeline: File in which slow requests are drawn.
        metrics: Figures for Prometheus.
    """

    is_json: bool
    by_worker: bool
    timeline: OutputFile | None
    metrics: Metrics | None
    _is_first: bool = True
    _is_short: bool = False

    def count(self, interval: ObserveInterval) -> None:
        """Add an interval to the figures for Prometheus, and note if requests are missing."""
        if self.metrics is not None:
            self.metrics.add(interval)
        lost = interval.misses.lost if interval.misses is not None else 0
        is_lower = interval.stepped_down is not None
        self._is_short |= bool(lost or interval.slow_unread or is_lower)

    def show(self, interval: ObserveInterval) -> None:
        """Show an interval."""
        from membench.report.observe import render_interval

        if self.is_json:
            output.show_json_line(interval)
            return
        if not self._is_first:
            output.show("")
        self._is_first = False
        output.show(render_interval(interval, by_worker=self.by_worker))
        sys.stdout.flush()

    @property
    def exit_code(self) -> int:
        """Exit code that tells if requests are missing."""
        return SHORT if self._is_short else 0
