"""`membench keygen`: nothing → a key file that makes key ids comparable between recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from membench.cli import output
from membench.errors import OutputExistsError

KEY_BYTES = 16


def command(
    path: Annotated[Path, typer.Argument(help="File to create; only you can read it.")],
) -> int:
    """Create a key file, for recordings that can be compared.

    Recordings made with the same key give the same ids to the same keys.

    Whoever holds it can test guesses of your keys against a profile: keep it apart from profiles.

    \b
    Example: membench keygen fleet.key
    """  # noqa: D301 - `\b` keeps the example on its line
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OutputExistsError(f"{path} exists: a key is never overwritten", "name another") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(os.urandom(KEY_BYTES).hex() + "\n")
    output.say(f"next   {output.program()} record ebpf:any NAME.mb --key-file {path}")
    return 0
