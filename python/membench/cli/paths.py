"""Paths that several commands take. The library tests them, so that both name the same remedy."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from membench.cli import groups
from membench.errors import MembenchError, OutputExistsError, UsageError

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


@contextmanager
def created(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Create a file that only its owner can read, and refuse links, pipes and devices.

    Root must not be led to a file that nobody named, and a pipe might never be read.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        number = os.open(path, flags | (0 if replace else os.O_EXCL), 0o600)
    except FileExistsError as error:
        raise OutputExistsError(f"{path} exists", "`--force` replaces it") from error
    except OSError as error:
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise _special(path) from error
        raise MembenchError(f"{path}: {error.strerror}", "choose another place") from error
    with os.fdopen(number, "wb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise _special(path)
        file.truncate()
        yield file


def _special(path: Path) -> UsageError:
    return UsageError(f"{path} is a link, a folder, a pipe or a device", "name a regular file")
