"""A path → a new key file, which makes key ids comparable between recordings."""

from __future__ import annotations

import os
from pathlib import Path

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
    file = Path(path)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OutputExistsError(
            f"{file} exists: a key is never overwritten", "choose another name"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{file} cannot be created: {getattr(error, 'strerror', error)}",
            "choose an existing folder that you may write to",
        ) from error
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(os.urandom(KEY_BYTES).hex() + "\n")
    except OSError as error:
        file.unlink(missing_ok=True)  # half a key would be refused later
        raise CaptureUnavailableError(
            f"{file} cannot be written: {error.strerror}", "free some space, or choose another disk"
        ) from error
    return file
