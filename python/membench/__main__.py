"""`python -m membench` → the command line."""

from __future__ import annotations

import sys

# Exit code of a command that a signal ended. `membench.cli` names it, too, but is not imported yet.
_INTERRUPTED = 130


def main() -> int:
    """Run the command line. Ctrl-C while it is still being imported leaves no traceback."""
    try:
        from membench import cli  # noqa: PLC0415 - imported where an interruption is expected

        return cli.main()
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
