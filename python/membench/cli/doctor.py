"""`membench doctor`: this machine → which sources work, by trying, and the exact remedy."""

from __future__ import annotations

from typing import Annotated

import typer

from membench.cli import output
from membench.cli.output import Format, FormatOption
from membench.cli.record import Requirement

ENVIRONMENT = 5


def command(
    port: Annotated[list[int], typer.Option(help="Listening port of a server; repeatable.")] = [  # noqa: B006
        11211
    ],
    require: Annotated[
        Requirement | None, typer.Option(help="End with exit code 5 unless this works.")
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Show what works on this machine, by trying.

    With each source that does not work comes what would change that.

    \b
    Example: membench doctor --require ebpf
    """  # noqa: D301 - `\b` keeps the example on its line
    from membench.doctor import diagnose
    from membench.report.doctor import render_diagnosis

    diagnosis = diagnose(tuple(port))
    if format is Format.JSON:
        output.show_json(diagnosis)
    else:
        output.show(render_diagnosis(diagnosis))
    required = Requirement.EBPF if require is None else require
    return 0 if diagnosis.works(required.value) else ENVIRONMENT
