"""`membench info`: profile → what it holds and whether it is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.cli import output
from membench.cli.output import Format, FormatOption


def command(
    profile: Annotated[Path, typer.Argument(help="Folder of a profile.")],
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Show what a profile holds, and every loss.

    \b
    Example: membench info production.mb
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.info import render_info

    info = membench.open(profile).info
    if format is Format.JSON:
        output.show_json(info)
    else:
        output.show(render_info(str(profile), info))
    return 0
