"""`membench keygen`: nothing → a key file that makes key ids comparable between recordings."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from membench.cli import output


def command(
    path: Annotated[
        Path, typer.Argument(readable=False, help="File to create; only you can read it.")
    ],
) -> int:
    """Create a key file, for recordings that can be compared.

    Recordings made with the same key give the same ids to the same keys.

    Whoever holds it can test guesses of your keys against a profile: keep it apart from profiles.

    \b
    Example: membench keygen fleet.key
    """  # noqa: D301 - `\b` keeps the example on its line
    import membench

    membench.keygen(path)
    output.say_next(f"record ebpf:any NAME.mb --key-file {shlex.quote(str(path))}")
    return 0
