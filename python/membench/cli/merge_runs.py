"""`membench merge-runs`: results of processes that replayed together → that of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench._files import created
from membench.cli import output
from membench.cli.checks import CheckOption
from membench.cli.exits import CHECK_FAILED, SHORT
from membench.cli.output import Format, FormatOption
from membench.cli.replay import show_result


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", readable=False, help="File of `replay --shard i/N --out`, of each i."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="FILE", help="Write the result as JSON, for `compare`."
        ),
    ] = None,
    check: CheckOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing output.")] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Add the results of processes that replayed a profile together.

    Counts and histograms are those of one process that had sent and measured everything.

    \b
    Example: membench merge-runs run.0 run.1 run.2 run.3 --out run.json
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench

    merged = membench.merge_runs(runs, checks=check or ())
    if out is not None:
        with created(out, force) as file:
            file.write(output.as_json(merged).encode() + b"\n")
    show_result(merged, format)
    if not merged.passed:
        return CHECK_FAILED
    return 0 if merged.held else SHORT
