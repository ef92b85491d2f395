"""Exit codes of the commands; exceptions carry their own (`membench.errors`)."""

from __future__ import annotations

from membench.errors import CaptureUnavailableError, MembenchError, UsageError

FAILED = MembenchError.exit_code
USAGE = UsageError.exit_code
# The result is there and falls short: data was lost, timing was not held.
SHORT = 4
ENVIRONMENT = CaptureUnavailableError.exit_code
CHECK_FAILED = 99
INTERRUPTED = 130


class Interrupted(MembenchError):
    """A signal ended a command before it had anything to report."""

    exit_code = INTERRUPTED
