"""`membench probe`: any hook of the kernel or of a program → counts, histograms, stacks."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from membench._files import OutputFile, created
from membench._options import By
from membench.cli import output
from membench.cli.bounds import DurationOption
from membench.cli.exits import SHORT
from membench.cli.output import Format, FormatOption
from membench.cli.selection import (
    CgroupOption,
    EndPortOption,
    PidOption,
    joined,
)
from membench.cli.signals import noted
from membench.cli.units import format_share, parse_duration, parse_share
from membench.errors import UsageError

if TYPE_CHECKING:
    from membench._probe import Probe, ProbeInterval

# Ends the name of a file with folded stacks.
_FOLDED = ".folded"
# Numbers of a range.
_RANGE = 3


def _parse_range(text: str) -> tuple[int, ...]:
    parts = text.split(":")
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) != _RANGE:
        raise typer.BadParameter(f"'{text}' is not a range such as `0:1000:50`.")
    return numbers


def _parse_limit(text: str) -> float:
    return 0.0 if text == "none" else parse_share(text)


def command(  # noqa: PLR0917 - Typer makes options of arguments
    hook: Annotated[
        str | None,
        typer.Argument(
            metavar="HOOK",
            show_default=False,
            help="`tracepoint:CATEGORY:NAME`, `tp_btf:NAME`, `raw_tp:NAME`, `kprobe:FUNCTION`,"
            " `kretprobe:…`, `fentry:FUNCTION`, `fexit:…`, `uprobe:FILE:FUNCTION`,"
            " `uretprobe:…`, `usdt:FILE:PROVIDER:NAME`, `perf:cpu-clock@99`. `kprobe:tcp_*` counts"
            " by function, as does `uprobe:FILE:*`.",
        ),
    ] = None,
    find: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="PATTERN", help="Find hooks, such as `tcp_*`; say which work here."
        ),
    ] = None,
    pid: PidOption = None,
    comm: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only threads of this name.")
    ] = None,
    cgroup: CgroupOption = None,
    port: EndPortOption = None,
    histogram: Annotated[
        str | None,
        typer.Option(
            metavar="ARG", help="Histogram of a field or argument by name, `argN`, or `ret`."
        ),
    ] = None,
    linear: Annotated[
        tuple | None,  # type: ignore[type-arg]
        typer.Option(
            parser=_parse_range,
            metavar="LEAST:MOST:STEP",
            help="Buckets of this width; else they are powers of two.",
        ),
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Histogram of the time from beginning to end.")
    ] = False,
    stacks: Annotated[
        bool, typer.Option("--stacks", help="Count the stacks that lead to the hook.")
    ] = False,
    flame: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="Write a flame graph (SVG) of the stacks, or folded stacks to `NAME.folded`.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="Stacks to show.")] = 5,
    by: Annotated[By | None, typer.Option(help="Keep the counts of each apart.")] = None,
    duration: DurationOption = None,
    interval: Annotated[
        float | None,
        typer.Option(parser=parse_duration, metavar="TIME", help="Print what each such time saw."),
    ] = None,
    max_cost: Annotated[
        float,
        typer.Option(
            parser=_parse_limit,
            metavar="SHARE",
            help="End once the hits take more of one CPU, or `none`.",
        ),
    ] = "10%",  # type: ignore[assignment]  # Typer passes defaults through the parser
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    force: Annotated[bool, typer.Option("--force", help="Replace existing output.")] = False,
) -> int:
    """Observe any hook: how often, how long, with which values, from where. No compiler is needed.

    Ctrl-C ends it. Filters and sums are made in the kernel.

    \b
    Examples: sudo python -m membench probe tp_btf:sock_send_length --port 11211 --histogram ret
              sudo python -m membench probe perf:cpu-clock@99 --stacks --flame out.svg -d 10s
    """  # noqa: D301 - `\b` keeps the examples on their lines
    import membench

    is_json = format is Format.JSON
    if find is not None:
        if hook is not None:
            raise UsageError("--list takes no hook", "`membench probe --list 'tcp_*'`")
        return _list(find, is_json)
    if hook is None:
        raise UsageError("no hook to observe", "`membench probe --list 'tcp_*'` finds some")
    for module in ("membench.report.probe", "membench._probe"):
        import_module(module)  # files may be out of reach once privileges are given up
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        drawing = None if flame is None else stack.enter_context(created(flame, force))
        observed = stack.enter_context(
            membench.probe(
                hook,
                pids=joined(pid),
                comms=comm or (),
                cgroups=cgroup or (),
                ports=joined(port),
                histogram=histogram,
                linear=linear,
                latency=latency,
                stacks=stacks or flame is not None,
                top=top,
                by=by,
                duration_s=duration,
                interval_s=interval,
                max_cost=max_cost or None,
                drop_privileges=True,
            )
        )
        lost = _show_all(observed, is_json, announced=duration is None and not is_json)
        if flame is not None and drawing is not None:
            _draw(observed, flame, drawing)
    if observed.excess is None:
        # A clock takes a sample, which is one without some of its hits, too.
        return SHORT if lost and not hook.startswith("perf:") else 0
    output.say(
        f"ended by itself: the hits took {format_share(round(observed.excess, 3))} of one CPU, more"
        f" than --max-cost {format_share(max_cost)}; narrow them by --pid, --comm, --port"
    )
    return SHORT


def _list(pattern: str, is_json: bool) -> int:
    import membench
    from membench.report.probe import render_hooks

    found = membench.find_hooks(pattern)
    if is_json:
        for hook in found:
            output.show_json_line(hook)
    else:
        output.show(render_hooks(found))
    return 0


def _show_all(observed: Probe, is_json: bool, *, announced: bool) -> int:
    """Show each interval; return the hits that are lost."""
    from membench.report.numbers import numbered

    noted(signal.SIGINT, signal.SIGTERM, then=observed.stop)
    if announced:
        functions = numbered(len(observed.functions), "function")
        what = f"{functions} observed" if observed.functions else "observed"
        output.say(f"{observed.hook}: {what}, Ctrl-C ends")
    lost = 0
    for number, interval in enumerate(observed):
        _show(interval, is_json, is_first=number == 0)
        lost += interval.misses + interval.lost.total
    return lost


def _show(interval: ProbeInterval, is_json: bool, *, is_first: bool) -> None:
    from membench.report.probe import render_interval

    if is_json:
        output.show_json_line(interval)
        return
    if not is_first:
        output.show("")
    output.show(render_interval(interval))
    sys.stdout.flush()


def _draw(observed: Probe, path: Path, drawing: OutputFile) -> None:
    if path.suffix == _FOLDED:
        drawing.write("".join(f"{line}\n" for line in observed.folded()).encode())
    else:
        drawing.write(observed.draw())
