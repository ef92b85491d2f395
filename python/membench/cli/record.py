"""`membench record`: source → profile, a status line while it runs and a summary at the end."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from membench._options import Hooks, Observed, Requirement, Responses, Selection
from membench._sample import Sample
from membench.cli import groups, output
from membench.cli.bounds import (
    MAX_CPU,
    MAX_MEMORY,
    MIN_FREE,
    NICE,
    DurationOption,
    MaxCpuOption,
    MaxMemoryOption,
    MaxSizeOption,
    MinFreeOption,
    NiceOption,
    RingSizeOption,
    RotationOption,
    SampleConnectionsOption,
    SampleOption,
    WaitOption,
    guards,
)
from membench.cli.exits import ENVIRONMENT, SHORT
from membench.cli.output import Format, FormatOption
from membench.cli.paths import KeyFileOption
from membench.cli.selection import (
    CgroupOption,
    NetnsOption,
    PidOption,
    PortOption,
    SideOption,
    SocketOption,
    all_ports,
    joined,
)
from membench.cli.units import parse_percent
from membench.errors import UsageError
from membench.report.plain import plain, plain_result

if TYPE_CHECKING:
    from rich.console import Console

    from membench._record import Capture, Recording, Status

# How long naming a server waits for what it says of itself, s.
_ANSWER_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def command(  # noqa: PLR0917 - Typer makes options of arguments
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [PROFILE]",
            help="`ebpf:any`, `ebpf:INTERFACE`, `pcap:INTERFACE`, pcap files, `watch:HOST:PORT`,"
            " a stored watch log, `-`; then the folder to write, without which nothing is kept.",
        ),
    ],
    side: SideOption = "server",
    port: PortOption = None,
    socket: SocketOption = None,
    pid: PidOption = None,
    cgroup: CgroupOption = None,
    netns: NetnsOption = None,
    duration: DurationOption = None,
    responses: Annotated[
        Responses,
        typer.Option(
            help="`lengths` costs the server less, `none` least; outcomes need bytes.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = "bytes",
    no_arrival: Annotated[
        bool,
        typer.Option(
            "--no-arrival",
            help="Do not note when requests arrived: costs the server less; no queue times.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = False,
    ring_size: RingSizeOption = "16M",  # type: ignore[assignment]  # Typer passes defaults through the parser
    hooks: Annotated[
        Hooks | None,
        typer.Option(
            help="Hooks to use, for comparison; by default the first that work here.",
            rich_help_panel=groups.SOURCE,
        ),
    ] = None,
    key_file: KeyFileOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the profile.", rich_help_panel=groups.OUTPUT)
    ] = False,
    wait: WaitOption = False,
    no_stats: Annotated[
        bool,
        typer.Option(
            "--no-stats",
            help="Do not ask the servers for their counters.",
            rich_help_panel=groups.SERVERS,
        ),
    ] = False,
    allow_loss: Annotated[
        float,
        typer.Option(
            parser=parse_percent,
            metavar="PERCENT",
            help="Loss above this ends with exit code 4.",
            rich_help_panel=groups.OUTPUT,
        ),
    ] = "0",  # type: ignore[assignment]  # Typer passes defaults through the parser
    max_size: MaxSizeOption = None,
    rotate: RotationOption = None,
    sample: SampleOption = "1/1",  # type: ignore[assignment]  # parsed, as above
    sample_connections: SampleConnectionsOption = "1/1",  # type: ignore[assignment]  # parsed
    nice: NiceOption = NICE,
    max_cpu: MaxCpuOption = MAX_CPU,  # type: ignore[assignment]  # parsed, as above
    max_memory: MaxMemoryOption = MAX_MEMORY,  # type: ignore[assignment]  # parsed
    min_free: MinFreeOption = MIN_FREE,  # type: ignore[assignment]  # parsed
    observe: Annotated[
        Observed | None,
        typer.Option(
            metavar="[=counters|requests]",
            help="Also store each second's threads, counters and host; with --observe=requests also"
            " where requests' time goes, and who had the CPU.",
            rich_help_panel=groups.EXTENT,
        ),
    ] = None,
    require: Annotated[
        Requirement | None,
        typer.Option(help="Never fall back to another source.", rich_help_panel=groups.SOURCE),
    ] = None,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Say more; `-vv` every step.")
    ] = 0,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Record what memcached does, until Ctrl-C or --duration.

    Keys leave memory only as keyed ids; values never do.

    \b
    Example: sudo python -m membench record ebpf:any production.mb --duration 60
    """  # noqa: D301 - `\b` keeps the example on its line
    import logging

    from rich.text import Text

    import membench

    _import_what_is_needed_later()
    sources, profile = _split(names)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(output.PlainFormatter(logging.BASIC_FORMAT))
    logging.basicConfig(level=logging.WARNING - 10 * min(verbose, 2), handlers=[handler])
    with _stop_on_signals() as obey:
        capture = membench.record(
            sources,
            profile,
            selection=Selection(
                side=side,
                ports=all_ports(port),
                sockets=socket or (),
                pids=joined(pid),
                cgroups=cgroup or (),
                network_namespaces=netns or (),
            ),
            responses=responses,
            arrival=not no_arrival,
            ring_size=ring_size,
            hooks=hooks,
            duration_s=duration,
            force=force,
            wait=wait,
            key_file=key_file,
            statistics=not no_stats,
            drop_privileges=True,
            live=False,
            max_size=max_size or None,
            rotation=rotate,
            sample=Sample(keys=sample, connections=sample_connections),
            guards=guards(nice, max_cpu, max_memory, min_free, max_size),
            require=require,
            observe=observe,
        )
        obey(capture)
        notice = capture.status().notice
        if notice is not None:
            output.console(stderr=True).print(Text(plain(notice)), soft_wrap=True)
        _follow(capture, responses, arrival=not no_arrival, asks=not no_stats)
    recording = capture.result
    _show(recording, format)
    code = _exit_code(recording, allow_loss)
    return ENVIRONMENT if code == 0 and recording.nothing_found and not wait else code


def _split(names: list[str]) -> tuple[list[str], Path | None]:
    """Tell the sources from the profile, which is last."""
    if len(names) == 1:
        return names, None
    *sources, last = names
    if Path(last).is_file():
        raise UsageError(f"{last} is a file, and no folder to write", "name the profile last")
    return sources, Path(last)


def _import_what_is_needed_later() -> None:
    """Import now: once privileges are given up, the interpreter's own files may be out of reach."""
    for module in ("rich.live", "rich.table", "membench.report.record", "membench._record"):
        import_module(module)


def _follow(capture: Capture, responses: str, *, arrival: bool, asks: bool) -> None:
    """Wait for the end; name servers as they are found, keep the status line up to date."""
    from rich.text import Text

    from membench.report import record as report

    announced: object = None
    told: list[str] = []
    with _status_line() as (console, update):

        def look(status: Status) -> None:
            nonlocal announced, told
            servers = [(one.listening, one.pid, one.version) for one in status.servers]
            answered = all(one.version for one in status.servers)
            waits = asks and not answered and status.elapsed_s < _ANSWER_S
            if servers != announced and not waits:
                if announced is None or servers:
                    start = report.render_start(plain_result(status), responses, arrival=arrival)
                    console.print(start)
                announced = servers
            changes = list(report.describe_restarts(status.server_runs))
            for line in changes:
                if line not in told:
                    console.print(Text(f"servers    {line}"), soft_wrap=True)
            told = changes
            update(status)

        capture.wait(on_status=look)


@contextmanager
def _stop_on_signals() -> Iterator[Callable[[Capture], None]]:
    """Let the first signal end and seal the capture that obeys, even if it came before the capture.

    A second signal of its kind ends the program.
    """
    asked: list[str] = []
    obeying: list[Capture] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received = signal.Signals(number)
        signal.signal(received, previous[received])
        asked.append(received.name)
        for capture in obeying:
            capture.stop(received.name)

    def obey(capture: Capture) -> None:
        obeying.append(capture)
        for name in asked:
            capture.stop(name)

    previous = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield obey
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _status_line() -> Iterator[tuple[Console, Callable[[Status], None]]]:
    """Open stderr with one line that is kept up to date, where that is a terminal."""
    from rich.live import Live

    from membench.report import record as report

    console = output.console(stderr=True)
    if not console.is_terminal:
        yield console, lambda _status: None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield (
            console,
            lambda status: live.update(report.render_status(plain_result(status)), refresh=True),
        )


def _show(recording: Recording, format: Format) -> None:  # noqa: A002
    from membench.report import record as report

    if format is Format.JSON:
        output.show_json(recording)
        return
    output.show(report.render_recording(plain_result(recording)))
    if recording.profile is not None and recording.events:
        output.say("")
        output.say_next(f"analyze {shlex.quote(recording.profile)}")


def _exit_code(recording: Recording, allowed_percent: float) -> int:
    is_short = recording.ended.is_early or recording.write_error is not None
    is_lossy = recording.loss_share() * 100 > allowed_percent
    observed = recording.observed
    is_gappy = observed is not None and bool(observed.failure or observed.lost)
    return SHORT if is_short or is_lossy or is_gappy else 0
