"""Options of captures that select connections, as Typer takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from membench._options import Side
from membench.cli import groups


def parse_ports(text: str) -> tuple[int, ...] | Literal["any"]:
    """Parse `11211`, `11211,11212` or `any`."""
    return "any" if text == "any" else _numbers(text, "a port, several as `11211,11212`, or `any`")


def parse_named_ports(text: str) -> tuple[int, ...]:
    """Parse `11211` or `11211,11212`."""
    return _numbers(text, "a port, or several as `11211,11212`")


def parse_pids(text: str) -> tuple[int, ...]:
    """Parse `812` or `812,813`."""
    return _numbers(text, "the number of a process, or several as `812,813`")


def _numbers(text: str, wanted: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise typer.BadParameter(f"'{text}' is not {wanted}.")
    return tuple(int(part) for part in parts)


def all_ports(
    given: Sequence[tuple[int, ...] | Literal["any"]] | None,
) -> Sequence[int] | Literal["any"]:
    """Join the ports of every `--port`."""
    named = [one for one in given or () if one != "any"]
    return joined(named) if len(named) == len(given or ()) else "any"


def joined(given: Sequence[tuple[int, ...]] | None) -> list[int]:
    """Join the numbers of every occurrence of an option."""
    return [number for several in given or () for number in several]


SideOption = Annotated[
    Side,
    typer.Option(
        help="`client` follows applications here that send to --port, and their waits.",
        rich_help_panel=groups.SERVERS,
    ),
]
PortOption = Annotated[
    list[Any] | None,
    typer.Option(
        parser=parse_ports,
        metavar="PORT|any",
        show_default="11211, unless --socket or --pid",
        help="Listening port of a server, or several: `11211,11212`; `any` finds memcached in"
        " packets. Repeatable, as are the next four.",
        rich_help_panel=groups.SERVERS,
    ),
]
EndPortOption = Annotated[
    list[Any] | None,
    typer.Option(
        "--port",
        parser=parse_named_ports,
        metavar="PORT",
        help="Only sockets with this port, at either end. Repeatable.",
    ),
]
SocketOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="Server's UNIX-domain socket (memcached -s).",
        rich_help_panel=groups.SERVERS,
    ),
]
PidOption = Annotated[
    list[Any] | None,
    typer.Option(
        "--pid",
        "-p",
        parser=parse_pids,
        metavar="PID",
        help="Only this process, with all its threads, or several: `812,813`.",
        rich_help_panel=groups.SERVERS,
    ),
]
CgroupOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH", help="Only this control group (v2).", rich_help_panel=groups.SERVERS
    ),
]
NetnsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|PATH|PID", help="Only this network namespace.", rich_help_panel=groups.SERVERS
    ),
]
