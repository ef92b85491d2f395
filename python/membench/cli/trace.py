"""`membench trace`: the system calls of a live server, as strace prints them."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from membench._files import OutputFile, created
from membench.cli.bounds import DurationOption, RingSizeOption
from membench.cli.exits import SHORT
from membench.cli.selection import EndPortOption, PidOption, joined
from membench.cli.signals import noted
from membench.cli.units import parse_duration
from membench.errors import UsageError

if TYPE_CHECKING:
    from membench._trace import Trace


class Lines(StrEnum):
    """Format of the lines."""

    STRACE = "strace"
    JSON = "json"


def command(  # noqa: PLR0917 - Typer makes options of arguments
    pid: PidOption = None,
    port: EndPortOption = None,
    calls: Annotated[
        list[str] | None,
        typer.Option(
            "-e",
            "--calls",
            metavar="CALLS",
            show_default="all, or with --port those on sockets",
            help="Calls and classes: `read,sendmsg`, `%network`, `!futex`. Repeatable.",
        ),
    ] = None,
    duration: DurationOption = None,
    times: Annotated[bool, typer.Option("-T", help="Show the time that each call took.")] = False,
    clock: Annotated[bool, typer.Option("-tt", help="Show the time of day, µs.")] = False,
    descriptors: Annotated[
        bool, typer.Option("-y", help="Show paths and addresses of descriptors.")
    ] = False,
    succeeded: Annotated[bool, typer.Option("-z", help="Only calls that succeeded.")] = False,
    failed: Annotated[bool, typer.Option("-Z", help="Only calls that failed.")] = False,
    totals: Annotated[
        bool, typer.Option("-c", help="Count calls, errors and times; show no calls.")
    ] = False,
    slower_than: Annotated[
        float | None,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Only calls that take at least this long; with --last, what prints.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", readable=False, metavar="FILE", help="Write lines there."),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        Lines, typer.Option("--format", help="Lines of strace, or a JSON object each.")
    ] = Lines.STRACE,
    perfetto: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="FILE", help="Also write a timeline for ui.perfetto.dev."
        ),
    ] = None,
    last: Annotated[
        float | None,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Keep the last seconds; print them on SIGUSR1, after a slow call, at the end.",
        ),
    ] = None,
    show_keys: Annotated[
        bool,
        typer.Option("--show-keys", help="Show keys in plaintext, on this terminal only."),
    ] = False,
    hooks: Annotated[
        Literal["tracepoints", "functions"] | None,
        typer.Option(
            show_default="functions where they work, for up to 24 calls",
            help="How calls are seen: at the functions of these, or at all calls of the machine.",
        ),
    ] = None,
    ring_size: RingSizeOption = "16M",  # type: ignore[assignment]  # Typer passes defaults through the parser
    force: Annotated[bool, typer.Option("--force", help="Replace existing output.")] = False,
) -> int:
    """Trace the system calls of a live server, at a price it can bear.

    Without --pid, whoever listens on --port is traced. Calls on its sockets show their connection
    and memcached's commands.

    \b
    Example: sudo python -m membench trace --port 11211 -T -y -d 10
    """  # noqa: D301 - `\b` keeps the example on its line
    from membench._trace import Trace, local_offset_s, make_options
    from membench.report.trace import render_cost, render_tally, render_totals

    _check(succeeded and failed, show_keys, file, format)
    options = make_options(
        ",".join(calls) if calls else None,
        pids=joined(pid),
        ports=joined(port),
        slower_than_s=slower_than,
        outcome="succeeded" if succeeded else "failed" if failed else "any",
        totals=totals,
        descriptors=descriptors,
        clock=clock,
        utc_offset_s=local_offset_s(),
        times=times,
        json=format is Lines.JSON,
        last_s=last,
        show_keys=show_keys,
        timeline=perfetto is not None,
        hooks=hooks,
        ring_size=ring_size,
        drop_privileges=True,
    )
    with ExitStack() as stack:
        lines = stack.enter_context(created(file, force)) if file else None
        timeline = stack.enter_context(created(perfetto, force)) if perfetto else None
        came = noted(signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if last else []))
        with Trace(options, duration) as running:
            numbers = ", ".join(str(number) for number in running.pids)
            _remark(f"tracing  pid {numbers}; {render_cost(running.tally())}; Ctrl-C ends")
            are_written = False
            try:
                _run(running, lines, timeline, came)
                are_written = True
            finally:
                running.stop()
                tally = running.tally()
                if totals:
                    print(render_totals(running.totals()), flush=True)
                rest = "" if are_written else "; not all of the shown ones are written"
                _remark(f"traced   {render_tally(tally)}{rest}")
    return SHORT if tally.lost.total or tally.lost_aside else 0


def _write(text: str, file: OutputFile | None) -> None:
    if not text:
        return
    if file is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        file.write(text.encode())


def _run(
    running: Trace, lines: OutputFile | None, timeline: OutputFile | None, came: set[int]
) -> None:
    """Pass lines on until the trace is over, or a signal ends it."""

    def draw() -> None:
        if timeline is not None:
            timeline.write(running.timeline())

    while not running.is_over and not came & {signal.SIGINT, signal.SIGTERM}:
        _write(running.next_text(), lines)
        draw()
        if signal.SIGUSR1 in came:
            came.discard(signal.SIGUSR1)
            _write(running.take_last(), lines)
    _write(running.stop_text(), lines)
    draw()


def _check(both: bool, show_keys: bool, file: Path | None, format: Lines) -> None:  # noqa: A002
    if both:
        raise UsageError("-z and -Z together show nothing", "neither of them shows all calls")
    if show_keys and (file or format is Lines.JSON or not sys.stdout.isatty()):
        raise UsageError(
            "keys are shown on a terminal only", "without `--show-keys`, keys are sizes"
        )


def _remark(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
