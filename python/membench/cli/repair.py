"""`membench repair`: profile that was not sealed → the same profile, sealed."""

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
    """Seal a profile whose recording was killed.

    What it holds stays as it is.

    \b
    Example: membench repair production.mb
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.info import render_info

    info = membench.repair(profile)
    if format is Format.JSON:
        output.show_json(info)
    else:
        output.show(render_info(str(profile), info))
    return 0
