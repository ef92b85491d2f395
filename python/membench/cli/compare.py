"""`membench compare`: results of replays side by side, and limits for what may change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.cli import output
from membench.cli.exits import CHECK_FAILED, SHORT
from membench.cli.output import Format, FormatOption
from membench.errors import UsageError
from membench.report.plain import plain_result

# Names that an error lists.
_SHOWN = 5
_RUN = (
    "A profile; or a file of `replay --out`, or a folder of such files: its runs by name, each"
    " paired with one."
)


def command(
    a: Annotated[Path, typer.Argument(metavar="A", readable=False, help=_RUN)],
    b: Annotated[Path, typer.Argument(metavar="B", readable=False, help="The other side.")],
    fail: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help="Exit code 99 if B is beyond it: `get.p99:+5%`, `hit_ratio:-1%`, …; repeatable.",
        ),
    ] = None,
    across_hosts: Annotated[
        bool,
        typer.Option("--across-hosts", help="Compare what was measured on different hosts, too."),
    ] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
) -> int:
    """Compare two recordings, or replays of one recording, and name the cause of each change.

    Causes take `record --observe=requests` or `replay --observe`. With five runs of each side or
    more, every change has an interval. Make them in turns.

    \b
    Example: membench compare before.json after.json --fail 'get.p99:+5%'
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench
    from membench.report.compare import render_comparison

    is_profile = [_is_profile(side) for side in (a, b)]
    if a.is_dir() and b.is_dir() and not any(is_profile):
        _check_names(a, b)
    sides = [side if is_profile[at] else _runs(side) for at, side in enumerate((a, b))]
    found = membench.compare(*sides, limits=fail or (), across_hosts=across_hosts)
    if format is Format.JSON:
        output.show_json(found)
    else:
        output.show(render_comparison(plain_result(found)))
    if not found.passed:
        return CHECK_FAILED
    return 0 if found.held else SHORT


def _is_profile(path: Path) -> bool:
    return path.is_dir() and (path / "manifest.json").exists()


def _runs(path: Path) -> list[Path]:
    """Return the files of runs at a path, in the order of their names."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.json") if not file.name.startswith("."))


def _check_names(a: Path, b: Path) -> None:
    """Refuse folders whose runs are no pairs: one may be missing because its replay failed."""
    of_a, of_b = ({file.name for file in _runs(side)} for side in (a, b))
    if of_a != of_b:
        alone = ", ".join(sorted(of_a ^ of_b)[:_SHOWN])
        raise UsageError(
            f"runs of one side only: {alone}",
            "give the runs of a pair one name",
        )
