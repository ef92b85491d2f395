"""Files that a command writes while it runs, opened before it gives up its privileges."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from membench._hint import Hint
from membench.errors import MembenchError, OutputExistsError, UsageError

# The largest number stands for "leave it unchanged" in chown(2).
_UNCHANGED = (1 << 32) - 1
_ANOTHER_FILE = "name a new file, or one of your own with one name"


class OutputFile:
    """A file that is open for writing; what it held before goes at the first write."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Write to an open descriptor."""
        self._path = path
        self._descriptor = descriptor
        self.is_untouched = True

    def write(self, content: bytes) -> None:
        """Write all of it."""
        rest = memoryview(content)
        if rest:
            self.clear()
        with self._told():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def clear(self) -> None:
        """Empty the file, unless it has been written to."""
        if self.is_untouched:
            with self._told():
                os.ftruncate(self._descriptor, 0)
            self.is_untouched = False

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MembenchError(
                f"{self._path}: cannot write: {error.strerror}",
                "it holds a part at most; free some space, or write it elsewhere",
            ) from error


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Raises:
        UsageError: It is not there, may not be read, is larger, or is no file: nobody may ever
            write to a pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"{path} is no regular file", "name a file")
            content = opened.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that you may read") from error
    if len(content) > most:
        raise UsageError(f"{path} has more than {most >> 20} MiB", "name another file")
    return content


@contextmanager
def created(path: Path, force: bool) -> Iterator[OutputFile]:
    """Create a file that only its owner can read: the user who called `sudo`, if any did.

    If the block fails before it has written anything, a new file goes again, and one that `force`
    was to replace is as it was.
    """
    with ExitStack() as stack:
        try:
            folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            descriptor, rights = _open(path, folder, force)
            stack.callback(os.close, descriptor)
        except MembenchError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", error)
            raise MembenchError(f"{path}: {reason}", "choose another place") from error
        file = OutputFile(path, descriptor)
        try:
            yield file
            file.clear()
        except BaseException:
            with suppress(OSError):
                if rights is None and os.fstat(descriptor).st_size == 0:
                    os.unlink(path.name, dir_fd=folder)
                elif rights is not None and file.is_untouched:
                    os.fchmod(descriptor, rights)
            raise


def _open(path: Path, folder: int, force: bool) -> tuple[int, int | None]:
    """Open the file; return its descriptor, and the rights that it had if it is not new.

    A link could lead root to a file that whoever made it may not write, and nobody may ever read a
    pipe: both are refused.
    """
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path.name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    except FileExistsError as error:
        if not force:
            raise OutputExistsError(f"{path} exists", Hint("`{force}` replaces it")) from error
        return _reopen(path, folder, flags)
    if (caller := _caller()) is not None:
        os.fchown(descriptor, *caller)
    return descriptor, None


def _reopen(path: Path, folder: int, flags: int) -> tuple[int, int]:
    """Open a file that exists, for its owner alone; return its descriptor and its former rights.

    Its content stays until the first write. A file of somebody else, or one with a second name,
    could be put here so that root overwrites it or they read it: both are refused.
    """
    special = UsageError(
        f"{path} is a link, a folder, a pipe or a device", "name a regular file, or a new one"
    )
    if not stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise special
    descriptor = os.open(path.name, flags, dir_fd=folder)
    try:
        rights = _checked(path, os.fstat(descriptor), special)
        os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, rights


def _checked(path: Path, found: os.stat_result, special: UsageError) -> int:
    """Return the rights of a file that may be replaced; raise an error if it may not."""
    if not stat.S_ISREG(found.st_mode):
        raise special
    if found.st_nlink > 1:
        raise UsageError(f"{path} has another name (a hard link)", _ANOTHER_FILE)
    if found.st_uid not in {0, os.getuid(), *(_caller() or ())[:1]}:
        raise UsageError(f"{path} belongs to another user", _ANOTHER_FILE)
    return stat.S_IMODE(found.st_mode)


def _caller() -> tuple[int, int] | None:
    """Return the user and the group that `sudo` was called by, if this process runs by it."""
    if os.getuid() != 0:
        return None
    try:
        user, group = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None
    return (user, group) if 0 < user < _UNCHANGED and 0 <= group < _UNCHANGED else None
