"""`membench info`: profile → its contents, its origin and its losses."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from membench.cli import output
from membench.cli.output import Format, FormatOption
from membench.cli.paths import ProfileArgument
from membench.report.numbers import numbered
from membench.report.plain import plain, plain_result


def command(
    profile: ProfileArgument,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file with its checksum.")
    ] = False,
) -> int:
    """Show the contents of a profile, and every loss.

    \b
    Example: membench info production.mb
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.info import render_summary

    opened = membench.open(profile)
    found = opened.verify() if verify else None
    if format is Format.JSON:
        shown = asdict(opened.summary())
        output.show_json(shown if found is None else shown | {"verification": asdict(found)})
    else:
        output.show(
            render_summary(plain(str(profile)), plain_result(opened.summary()), plain_result(found))
        )
    if found is not None and not found.passed:
        raise membench.ProfileError(
            f"{profile}: {numbered(len(found.damaged), 'file')} not as written",
            "copy the whole folder again from where it was recorded",
        )
    return 0
