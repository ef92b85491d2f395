"""Files that a command writes while it runs, opened before it gives up its privileges."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from membench.errors import MembenchError, OutputExistsError, UsageError

# The largest number stands for "leave it unchanged" in chown(2).
_UNCHANGED = (1 << 32) - 1


class OutputFile:
    """A file that is open for writing."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Write to an open descriptor."""
        self._path = path
        self._descriptor = descriptor
        self.is_empty = True

    def write(self, content: bytes) -> None:
        """Write all of it."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
                self.is_empty = False
        except OSError as error:
            raise MembenchError(
                f"{self._path}: cannot write: {error.strerror}",
                "what was written before is there; free some space, or write it elsewhere",
            ) from error


@contextmanager
def created(path: Path, force: bool) -> Iterator[OutputFile]:
    """Create a file that only its owner can read: the user who called `sudo`, if any did.

    If the block fails before it has written anything, the file goes again.
    """
    with ExitStack() as stack:
        try:
            folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            descriptor, is_new = _open(path, folder, force)
            stack.callback(os.close, descriptor)
        except MembenchError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", error)
            raise MembenchError(f"{path}: {reason}", "choose another place") from error
        file = OutputFile(path, descriptor)
        try:
            yield file
        except BaseException:
            if is_new and file.is_empty:
                with suppress(OSError):
                    os.unlink(path.name, dir_fd=folder)
            raise


def _open(path: Path, folder: int, force: bool) -> tuple[int, bool]:
    """Open the file; return its descriptor, and True if it is new.

    A link could lead root to a file that whoever made it may not write, and nobody may ever read a
    pipe: both are refused.
    """
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path.name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    except FileExistsError as error:
        if not force:
            raise OutputExistsError(f"{path} exists", "`--force` replaces it") from error
        return _reopen(path, folder, flags), False
    if (caller := _caller()) is not None:
        os.fchown(descriptor, *caller)
    return descriptor, True


def _reopen(path: Path, folder: int, flags: int) -> int:
    """Open and empty a file that exists."""
    special = UsageError(
        f"{path} is a link, a folder, a pipe or a device", "name a regular file, or a new one"
    )
    if not stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise special
    descriptor = os.open(path.name, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise special
    os.ftruncate(descriptor, 0)
    return descriptor


def _caller() -> tuple[int, int] | None:
    """Return the user and the group that `sudo` was called by, if this process runs by it."""
    if os.getuid() != 0:
        return None
    try:
        user, group = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None
    return (user, group) if 0 < user < _UNCHANGED and 0 <= group < _UNCHANGED else None
