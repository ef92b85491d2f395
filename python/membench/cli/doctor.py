"""`membench doctor`: this machine → the sources that work, by trying, and the exact remedy."""

from __future__ import annotations

from typing import Annotated

import typer

from membench.cli import output
from membench.cli.exits import ENVIRONMENT
from membench.cli.output import Format, FormatOption
from membench.report.plain import plain_result


def command(
    port: Annotated[list[int], typer.Option(help="Listening port of a server; repeatable.")] = [  # noqa: B006
        11211
    ],
    require: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="End with exit code 5 unless this works: a source, its scheme, a hook, `build`.",
        ),
    ] = "ebpf",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure the cost of recording here, for 10 s.")
    ] = False,
    build: Annotated[
        bool,
        typer.Option(
            "--build", help="Also look for the tools that rebuilding the kernel object takes."
        ),
    ] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Show what works on this machine, by trying.

    Each source that does not work comes with the command that would change that.

    \b
    Example: membench doctor --require ebpf
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.doctor import render_diagnosis

    with_tools = build or require == "build"
    diagnosis = membench.doctor(ports=port, calibrate=calibrate, build=with_tools)
    works = diagnosis.works(require)
    if format is Format.JSON:
        output.show_json(diagnosis)
    else:
        output.show(render_diagnosis(plain_result(diagnosis, keep="\n")))
    return 0 if works else ENVIRONMENT
