"""A path → a new key file, which makes key ids comparable between recordings."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from membench import _arguments as check
from membench.errors import CaptureUnavailableError, OutputExistsError, UsageError

KEY_BYTES = 16


def keygen(path: str | os.PathLike[str]) -> Path:
    """Write a random key to a new file that only its owner can read.

    Recordings made with the same key give the same ids to the same keys. Whoever holds the file can
    test guesses of keys against a profile: keep it apart from profiles.

    Returns:
        The path.

    Raises:
        OutputExistsError: The file exists: a key is never overwritten.
        UsageError: The file cannot be created there.
        CaptureUnavailableError: The disk takes no more.
    """
    file = check.path("path", path)
    try:
        folder = os.open(file.parent, os.O_PATH | os.O_DIRECTORY)
    except (OSError, ValueError) as error:
        raise _refused(file, error) from error
    try:
        _write(file, folder)
    finally:
        os.close(folder)
    return file


def _write(file: Path, folder: int) -> None:
    """Write the key into the open folder, whatever its path leads to by now."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(file.name, flags, 0o600, dir_fd=folder)
    except FileExistsError as error:
        raise OutputExistsError(
            f"{file} exists: a key is never overwritten", "choose another name"
        ) from error
    except (OSError, ValueError) as error:
        raise _refused(file, error) from error
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(os.urandom(KEY_BYTES).hex() + "\n")
    except OSError as error:
        with suppress(FileNotFoundError):
            os.unlink(file.name, dir_fd=folder)  # half a key would be refused later
        raise CaptureUnavailableError(
            f"{file} cannot be written: {error.strerror}", "free some space, or choose another disk"
        ) from error


def _refused(file: Path, error: OSError | ValueError) -> UsageError:
    return UsageError(
        f"{file} cannot be created: {getattr(error, 'strerror', error)}",
        "choose an existing folder that you may write to",
    )
