"""Output of commands → stdout (data) and stderr (everything else)."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH = 100


class Format(StrEnum):
    """Format of the printed results."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="Text for people or JSON.")]


def console(*, stderr: bool = False) -> Console:
    """Open a console that prints captured text verbatim; 100 columns wide without a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def show(renderable: RenderableType) -> None:
    """Print a report to stdout."""
    console().print(renderable)


def say(renderable: RenderableType) -> None:
    """Print a remark to stderr."""
    console(stderr=True).print(renderable)


def show_json(result: object) -> None:
    """Print a result as JSON and nothing else."""
    data: Any = result
    if is_dataclass(result) and not isinstance(result, type):
        data = asdict(result)
    print(json.dumps(data, indent=2, ensure_ascii=False))


def show_error(message: str, hint: str | None = None) -> None:
    """Print `error: …` and, if there is one, the remedy."""
    text = f"error: {message}\n"
    if hint:
        text += "\nhint: " + hint.replace("\n", "\n      ") + "\n"
    sys.stderr.write(text)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        import membench

        print(membench.__version__)
        raise typer.Exit


def program() -> str:
    """Return the way this program was started, for commands to copy."""
    return "membench" if Path(sys.argv[0]).name == "membench" else "python -m membench"
