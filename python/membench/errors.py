"""The exceptions of membench, each with its exit code and, where there is one, a remedy."""

from __future__ import annotations

from membench._hint import Hint


class MembenchError(Exception):
    """Base of every error that membench raises on purpose.

    Attributes:
        hint: The remedy in the library's words (`force=True`); None if the message says it all.
        command_hint: The remedy in the command line's words (`--force`).
        exit_code: The exit code of the command line.
    """

    exit_code = 1

    def __init__(
        self, message: str, hint: str | Hint | None = None, command_hint: str | None = None
    ) -> None:
        """Keep the one-line message and the remedy apart.

        Args:
            message: Aim and finding, in one line.
            hint: The remedy; a `Hint` if it names options or commands.
            command_hint: The remedy in the command line's words, if `hint` is text and they differ.
        """
        super().__init__(message)
        self.hint: str | None
        self.command_hint: str | None
        if isinstance(hint, Hint):
            self.hint, self.command_hint = hint.for_library(), hint.for_command_line()
        else:
            self.hint, self.command_hint = hint, command_hint or hint


class UsageError(MembenchError, ValueError):
    """An argument is wrong: exit code 2."""

    exit_code = 2


class OutputExistsError(MembenchError, FileExistsError):
    """The output exists and nothing was overwritten: exit code 2."""

    exit_code = 2


class ProfileError(MembenchError):
    """A profile cannot be opened or is damaged: exit code 1."""


class CaptureUnavailableError(MembenchError, OSError):
    """This machine, or the permissions held, do not allow it: exit code 5."""

    exit_code = 5


class TargetError(MembenchError, OSError):
    """The target of a replay refuses, closes or must not be written to: exit code 5."""

    exit_code = 5
