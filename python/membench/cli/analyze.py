"""`membench analyze`: profile → a description of its workload."""

from __future__ import annotations

from typing import Annotated

import typer

from membench.cli import output
from membench.cli.output import Format, FormatOption
from membench.cli.paths import ProfileArgument
from membench.report.plain import plain, plain_result


def command(
    profile: ProfileArgument,
    only: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these parts, in detail: `keys,ttl`.")
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Describe a recorded workload.

    Commands, hit ratios, keys, sizes, expiry, connections, server time.

    \b
    Example: membench analyze production.mb --only keys,ttl
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.analysis import render_analysis
    from membench.report.basis import remark_on_analysis

    parts = [name.strip() for name in only.split(",")] if only else None
    opened = membench.open(profile)
    analysis = membench.analyze(opened, only=parts)
    if format is Format.JSON:
        output.show_json(analysis)
    else:
        output.show(render_analysis(plain(str(profile)), plain_result(analysis)))
    if remark := remark_on_analysis(opened.summary()):
        output.say(remark)
    return 0
