"""Options of captures that select connections, as Typer takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from membench._options import Side
from membench.cli import groups


def parse_ports(text: str) -> tuple[int, ...] | Literal["any"]:
    """Parse `11211`, `11211,11212` or `any`."""
    if text == "any":
        return "any"
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise typer.BadParameter(f"'{text}' is not a port, several as `11211,11212`, or `any`.")
    return tuple(int(part) for part in parts)


def all_ports(
    given: Sequence[tuple[int, ...] | Literal["any"]] | None,
) -> Sequence[int] | Literal["any"]:
    """Join the ports of every `--port`."""
    ports: list[int] = []
    for one in given or ():
        if one == "any":
            return "any"
        ports += one
    return ports


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
SocketOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="Server's UNIX-domain socket (memcached -s).",
        rich_help_panel=groups.SERVERS,
    ),
]
PidOption = Annotated[
    list[int] | None, typer.Option(help="Only this process.", rich_help_panel=groups.SERVERS)
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
