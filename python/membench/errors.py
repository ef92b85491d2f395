"""Everything membench raises, each with its exit code and, where there is one, a remedy."""

from __future__ import annotations


class MembenchError(Exception):
    """Base of every error membench raises on purpose.

    Attributes:
        hint: What to do about it, or None.
        exit_code: What the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        """Keep the one-line message and the remedy apart."""
        super().__init__(message)
        self.hint = hint


class UsageError(MembenchError, ValueError):
    """An argument is wrong: exit code 2."""

    exit_code = 2


class OutputExists(MembenchError, FileExistsError):  # noqa: N818 - a statement, like the builtin
    """The output exists and nothing was overwritten: exit code 2."""

    exit_code = 2


class ProfileError(MembenchError):
    """A profile cannot be opened or is damaged: exit code 1."""


class CaptureUnavailable(MembenchError, OSError):  # noqa: N818
    """This machine, or the permissions held, do not allow it: exit code 5."""

    exit_code = 5


class TargetError(MembenchError, OSError):
    """The target of a replay refuses, closes or must not be written to: exit code 5."""

    exit_code = 5
