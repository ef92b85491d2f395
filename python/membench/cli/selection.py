"""Options of captures that select connections, as Typer takes them."""

from __future__ import annotations

from typing import Annotated

import typer

from membench._options import Side

SideOption = Annotated[
    Side,
    typer.Option(help="`client` follows applications here that send to --port, and their waits."),
]
PortOption = Annotated[
    list[int] | None,
    typer.Option(
        show_default="11211, unless --socket or --pid",
        help="Listening port of a server; repeatable, as are the next four.",
    ),
]
SocketOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="Server's UNIX-domain socket (memcached -s)."),
]
PidOption = Annotated[list[int] | None, typer.Option(help="Only this process.")]
CgroupOption = Annotated[
    list[str] | None, typer.Option(metavar="PATH", help="Only this control group (v2).")
]
NetnsOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME|PATH|PID", help="Only this network namespace."),
]
