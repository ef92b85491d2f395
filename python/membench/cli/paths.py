"""Paths that several commands take. The library tests them, so that both name the same remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.cli import groups

ProfileArgument = Annotated[Path, typer.Argument(help="Folder of a profile.", readable=False)]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MEMBENCH_KEY_FILE",
        readable=False,
        help="Key that makes key ids (`membench keygen`).",
        rich_help_panel=groups.OUTPUT,
    ),
]
