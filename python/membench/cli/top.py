"""`membench top`: source → hot keys, commands and clients, kept up to date on the terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from membench._options import Guards, Responses, Selection
from membench.cli import groups, output
from membench.cli.bounds import (
    MAX_CPU,
    MAX_MEMORY,
    NICE,
    MaxCpuOption,
    MaxMemoryOption,
    NiceOption,
    RingSizeOption,
    WaitOption,
)
from membench.cli.exits import SHORT
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
from membench.cli.units import parse_duration
from membench.errors import UsageError
from membench.report.plain import plain_result

if TYPE_CHECKING:
    from membench._top import Snapshot, Top
    from membench.report.top import Order

# Keys that a screen can choose from when it sorts by something else than operations.
_LISTED = 200
# How long a pressed key may wait, s.
_TURN_S = 0.1


def command(  # noqa: PLR0917 - Typer makes options of arguments
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="What to watch: `ebpf:any`, `watch:HOST:PORT`, files, as in `record`.",
        ),
    ],
    side: SideOption = "server",
    port: PortOption = None,
    socket: SocketOption = None,
    pid: PidOption = None,
    cgroup: CgroupOption = None,
    netns: NetnsOption = None,
    interval: Annotated[
        float,
        typer.Option(parser=parse_duration, metavar="TIME", help="What one screen covers."),
    ] = "1s",  # type: ignore[assignment]  # Typer passes defaults through the parser
    once: Annotated[bool, typer.Option("--once", help="Print one interval, then end.")] = False,
    show_keys: Annotated[
        bool,
        typer.Option("--show-keys", help="Show keys in plaintext, on this terminal only."),
    ] = False,
    show_clients: Annotated[
        bool,
        typer.Option(
            "--show-clients",
            help="Show clients' addresses: on this terminal, or in the JSON of --once.",
        ),
    ] = False,
    responses: Annotated[
        Responses,
        typer.Option(
            help="How much of the responses to look at, as in `record`.",
            rich_help_panel=groups.SOURCE,
        ),
    ] = "bytes",
    ring_size: RingSizeOption = "16M",  # type: ignore[assignment]  # Typer passes defaults through the parser
    wait: WaitOption = False,
    key_file: KeyFileOption = None,
    nice: NiceOption = NICE,
    max_cpu: MaxCpuOption = MAX_CPU,  # type: ignore[assignment]  # parsed, as above
    max_memory: MaxMemoryOption = MAX_MEMORY,  # type: ignore[assignment]  # parsed, as above
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Watch hot keys, commands and clients; nothing is written.

    Keys are shown as ids of this run, unless --show-keys, and clients as numbers, unless
    --show-clients.

    \b
    Example: sudo python -m membench top ebpf:any
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench

    _check(once, show_keys, show_clients, format)
    for module in ("rich.live", "membench.report.top", "membench._top", "membench.cli.keyboard"):
        import_module(module)  # files may be out of reach once privileges are given up
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    watched = membench.top(
        sources,
        interval_s=interval,
        limit=_LISTED,
        selection=Selection(
            side=side,
            ports=all_ports(port),
            sockets=socket or (),
            pids=joined(pid),
            cgroups=cgroup or (),
            network_namespaces=netns or (),
        ),
        responses=responses,
        ring_size=ring_size,
        wait=wait,
        key_file=key_file,
        show_keys=show_keys,
        show_clients=show_clients,
        drop_privileges=True,
        guards=Guards(
            nice=nice or None,
            max_cpu=max_cpu or None,
            max_memory=max_memory or None,
            max_written=None,
            min_free=None,
        ),
    )
    name = watched.name if show_keys else None
    try:
        with watched:
            if once:
                _show_once(watched, interval, format, name)
            elif sys.stdout.isatty():
                _show_live(watched, interval, name)
            else:
                _show_all(watched)
    except (KeyboardInterrupt, BrokenPipeError):  # `top | head` has seen enough
        return 0
    ended = watched.status().ended
    if ended is not None and ended.is_early:
        output.show_error(f"it ended early: {ended.reason}")
        return SHORT
    return 0


def _check(once: bool, show_keys: bool, show_clients: bool, format: Format) -> None:  # noqa: A002
    if format is Format.JSON and not once:
        raise UsageError("JSON is of one interval", "`--once --format json`")
    if show_keys and (format is Format.JSON or not sys.stdout.isatty()):
        raise UsageError(
            "keys are shown on a terminal only", "without `--show-keys`, keys have ids"
        )
    if show_clients and format is not Format.JSON and not sys.stdout.isatty():
        raise UsageError(
            "clients' addresses are shown on a terminal only, or in JSON",
            "without `--show-clients`, clients have numbers",
        )


def _show_once(
    watched: Top,
    interval: float,
    format: Format,  # noqa: A002
    name: Callable[[int], bytes | None] | None,
) -> None:
    from membench.report.top import render_top

    watched.settle()
    begun = time.monotonic()
    watched.count(interval)
    snapshot = watched.take(time.monotonic() - begun)
    if format is Format.JSON:
        keys = [asdict(key) | {"id": f"{key.id:016x}"} for key in snapshot.keys]
        output.show_json(asdict(snapshot) | {"keys": keys})
    else:
        output.show(render_top(plain_result(snapshot), name=name))


def _show_all(watched: Top) -> None:
    """Print one interval after the other, where there is no terminal to keep up to date."""
    from membench.report.top import render_top

    for snapshot in watched:
        output.show(render_top(plain_result(snapshot)))


def _show_live(watched: Top, interval: float, name: Callable[[int], bytes | None] | None) -> None:
    from rich.live import Live

    from membench.cli.keyboard import pressed
    from membench.report.top import Order, render_top

    console = output.console()
    order, snapshot = Order.OPERATIONS, None
    more, shown = True, time.monotonic()
    with pressed() as keys, Live(console=console, screen=True, auto_refresh=False) as live:

        def show(latest: Snapshot, by: Order) -> None:
            screen = render_top(
                plain_result(latest), height=console.size.height, order=by, name=name, keyboard=True
            )
            live.update(screen, refresh=True)

        while more:
            stored = watched.is_stored
            more = watched.count(interval if stored else min(interval, _TURN_S))
            typed = keys()
            if "q" in typed:
                return
            elapsed = time.monotonic() - shown
            if stored or elapsed >= interval or not more:
                snapshot, shown = watched.take(elapsed), time.monotonic()
            elif "s" not in typed:
                continue
            if "s" in typed:
                order = order.next
            if snapshot is not None:
                show(snapshot, order)
