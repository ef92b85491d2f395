"""Exit codes of the commands; exceptions carry their own (`membench.errors`)."""

from __future__ import annotations

from membench.errors import CaptureUnavailableError, MembenchError, UsageError

FAILED = MembenchError.exit_code
USAGE = UsageError.exit_code
# The result is there and falls short: data was lost, timing was not held, answers are missing.
SHORT = 4
ENVIRONMENT = CaptureUnavailableError.exit_code
CHECK_FAILED = 99
INTERRUPTED = 130

TABLE = {
    0: "done: nothing lost, checks passed",
    FAILED: "failed: a damaged profile, or output that cannot be written",
    USAGE: "wrong arguments: a name that does not exist, or an output that does",
    SHORT: "done, but data was lost, timing was not held or answers are missing",
    ENVIRONMENT: "this machine, your rights or the target forbid it; or nothing to record is there",
    CHECK_FAILED: "a check of `replay`, or a limit of `compare`, failed",
    INTERRUPTED: "ended by Ctrl-C or SIGTERM; `replay` reports what it did, `record` ends with 0",
}


class InterruptedCommandError(MembenchError):
    """A signal ended a command before it had anything to report."""

    exit_code = INTERRUPTED


def describe() -> str:
    """Lay out the table, for help that keeps its lines."""
    rows = (f"  {code:<4}{meaning}" for code, meaning in TABLE.items())
    return "\b\n" + "\n".join(("Exit codes:", *rows))
