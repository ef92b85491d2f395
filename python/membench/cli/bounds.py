"""Options that bound a recording, as Typer takes them."""

from __future__ import annotations

from typing import Annotated

import typer

from membench._options import Guards, Rotation
from membench.cli import groups
from membench.cli.units import (
    format_share,
    format_size,
    parse_duration,
    parse_fraction,
    parse_share,
    parse_size,
)
from membench.errors import UsageError

# Stands for "no limit" where a limit has a default.
NONE = "none"


def _or_none(limit: int | None) -> str:
    return NONE if limit is None else format_size(limit)


_DEFAULTS = Guards.of_command()
# Defaults as Typer takes them: it passes them through the option's parser.
NICE = _DEFAULTS.nice or 0
MAX_CPU = NONE if _DEFAULTS.max_cpu is None else format_share(_DEFAULTS.max_cpu)
MAX_MEMORY = _or_none(_DEFAULTS.max_memory)
MIN_FREE = _or_none(_DEFAULTS.min_free)
_MAX_WRITTEN = _or_none(_DEFAULTS.max_written)


def _size_or_none(text: str) -> int:
    return 0 if text == NONE else parse_size(text)


def _share_or_none(text: str) -> float:
    return 0.0 if text == NONE else parse_share(text)


def _parse_rotation(text: str) -> Rotation:
    if text[-1:].isdigit():
        raise typer.BadParameter(
            f"{text!r} is neither a size such as `1G` nor a time such as `10m`"
        )
    try:
        if text[-1:] in ("s", "m", "h"):
            return Rotation(every_s=parse_duration(text))
        return Rotation(size=parse_size(text))
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


DurationOption = Annotated[
    float | None,
    typer.Option(
        "-d",
        "--duration",
        parser=parse_duration,
        metavar="TIME",
        show_default="until Ctrl-C",
        help="End after `10s`, `5m`, …",
        rich_help_panel=groups.EXTENT,
    ),
]
RingSizeOption = Annotated[
    int,
    typer.Option(
        parser=parse_size,
        metavar="SIZE",
        help="Buffer between the kernel and this process.",
        rich_help_panel=groups.SOURCE,
    ),
]
WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait",
        help="Begin without a server; record it once it listens.",
        rich_help_panel=groups.SERVERS,
    ),
]
NiceOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=19,
        help="Niceness of the recorder: the server goes first.",
        rich_help_panel=groups.GUARDS,
    ),
]
MaxCpuOption = Annotated[
    float,
    typer.Option(
        parser=_share_or_none,
        metavar="SHARE",
        help="Own CPU time of one CPU, over 5 s; or `none`.",
        rich_help_panel=groups.GUARDS,
    ),
]
MaxMemoryOption = Annotated[
    int,
    typer.Option(
        parser=_size_or_none,
        metavar="SIZE",
        help="Own memory, or `none`.",
        rich_help_panel=groups.GUARDS,
    ),
]
MinFreeOption = Annotated[
    int,
    typer.Option(
        parser=_size_or_none,
        metavar="SIZE",
        help="Disk left for others, or `none`.",
        rich_help_panel=groups.GUARDS,
    ),
]
MaxSizeOption = Annotated[
    int | None,
    typer.Option(
        parser=_size_or_none,
        metavar="SIZE",
        help=f"End once this much is written; unless given, a guard ends it at {_MAX_WRITTEN}.",
        rich_help_panel=groups.EXTENT,
    ),
]


RotationOption = Annotated[
    Rotation | None,
    typer.Option(
        parser=_parse_rotation,
        metavar="SIZE|TIME",
        help="Continue in another profile after `1G` or `10m`.",
        rich_help_panel=groups.EXTENT,
    ),
]
SampleOption = Annotated[
    int,
    typer.Option(
        parser=parse_fraction,
        metavar="1/N",
        help="Keep one key in N: all of it or none.",
        rich_help_panel=groups.EXTENT,
    ),
]
SampleConnectionsOption = Annotated[
    int,
    typer.Option(
        parser=parse_fraction,
        metavar="1/N",
        help="Follow one connection in N; others cost nothing.",
        rich_help_panel=groups.EXTENT,
    ),
]


def guards(
    nice: int, max_cpu: float, max_memory: int, min_free: int, max_size: int | None
) -> Guards:
    """Make the guards of one recording; `--max-size none` is no limit."""
    return Guards(
        nice=nice or None,
        max_cpu=max_cpu or None,
        max_memory=max_memory or None,
        max_written=None if max_size == 0 else _DEFAULTS.max_written,
        min_free=min_free or None,
    )
