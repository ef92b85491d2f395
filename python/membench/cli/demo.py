"""`membench demo`: nothing → the main job on private memcacheds, command by command."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from membench.cli import output
from membench.cli.exits import CHECK_FAILED, SHORT
from membench.errors import CaptureUnavailableError

if TYPE_CHECKING:
    from membench._demo.demonstrate import Demo, DemoStep


def command(
    keep: Annotated[
        Path | None,
        typer.Option(readable=False, help="Existing folder to keep the profile in."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Duration of the workload.")] = 5.0,
) -> int:
    """Record, analyze and replay a private memcached.

    Shows each step as the command you would type.

    \b
    Example: sudo python -m membench demo
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench._demo.workload import Load

    load = Load(duration_s=seconds)
    begin = (
        f"a private memcached and its workload: {load.connections} connections, "
        f"{load.requests_per_s:,.0f} requests/s for {seconds:g} s"
    )

    def show(step: DemoStep) -> None:
        if step.result is None and step.command[0] == "record":
            output.say(begin)
        _show(step)

    try:
        done = membench.demo(keep, duration_s=seconds, on_step=show)
    except CaptureUnavailableError:
        output.say(f"skipped the demo; `{output.program()} doctor` shows what works here\n")
        raise
    return _exit_code(done)


def _show(step: DemoStep) -> None:
    """Show a step's command before it runs, and its result as that command would."""
    from membench._analysis import Analysis
    from membench._profile import Summary
    from membench._record import Recording
    from membench._replay import ReplayResult
    from membench.report.analysis import render_analysis
    from membench.report.info import render_summary
    from membench.report.record import render_recording
    from membench.report.replay import render_replay

    match step.result:
        case None:
            output.say(f"\n$ {output.program()} {shlex.join(step.command)}")
        case Recording():
            output.show(render_recording(step.result))
        case Summary():
            output.show(render_summary(step.command[1], step.result))
        case Analysis():
            output.show(render_analysis(step.command[1], step.result))
        case ReplayResult():
            output.show(render_replay(step.result))


def _exit_code(done: Demo) -> int:
    """Judge the demo: losses and failed checks count, timing that this machine missed does not."""
    if not done.replay.passed:
        return CHECK_FAILED
    if not done.recording.ledger.complete:
        return SHORT
    if not done.replay.timing_held:
        output.say("\nthe replay ran; this machine was too busy to hold the recorded timing")
    return 0
