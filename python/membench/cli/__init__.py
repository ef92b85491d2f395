"""Arguments → one command, its exit code, and its error as text."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import typer

from membench.cli import exits, output
from membench.cli.exits import FAILED, INTERRUPTED, USAGE
from membench.cli.grouping import WIDEST, GroupedCommand
from membench.errors import MembenchError

# Commands in the order of the help. Each is a module here with a function `command`.
_COMMANDS = (
    "record",
    "top",
    "observe",
    "probe",
    "trace",
    "info",
    "analyze",
    "report",
    "replay",
    "compare",
    "merge-runs",
    "doctor",
    "demo",
    "repair",
    "keygen",
)

# How a hint begins that asks for rights.
_AS_ROOT = "run as root"
# `typer` does not export the base of its usage errors.
_ArgumentError: type[Exception] = typer.BadParameter.__mro__[1]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return run(commands(arguments), arguments)


def commands(arguments: list[str]) -> typer.Typer:
    """Build the command that is called, or all: for help, for completion, for a misspelled name.

    Importing all takes a quarter of the time in which a short command ends.
    """
    called: Sequence[str] = arguments[:1]
    if not set(called) & set(_COMMANDS):
        called = _COMMANDS
    app = typer.Typer(
        name="membench",
        help="Record what a live memcached does, replay it with the same timing, and explain it.",
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=exits.describe(),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    )
    app.callback()(_options)
    for name in called:
        command = app.command(name, cls=GroupedCommand, epilog=exits.describe())
        command(import_module(f"membench.cli.{name.replace('-', '_')}").command)
    return app


def _options(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=output.show_version, help="Print the version."
    ),
) -> None:
    del version


def run(commands: typer.Typer, arguments: list[str]) -> int:
    """Run one of `commands`; an exception becomes text on stderr and an exit code."""
    return output.guarded(lambda: _run(commands, arguments))


def _run(commands: typer.Typer, arguments: list[str]) -> int:
    try:
        code = commands(args=arguments or ["--help"], standalone_mode=False, prog_name="membench")
        sys.stdout.flush()
    except MembenchError as error:
        output.show_error(str(error), _with_line_to_type(error.command_hint, arguments))
        return error.exit_code
    except _ArgumentError as error:
        return _show_argument_error(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # nobody reads the output
        return FAILED
    except Exception as error:  # an internal error
        output.show_error(f"internal error: {_describe(error)}", "please report this line")
        return FAILED
    return code if isinstance(code, int) else 0


def _with_line_to_type(hint: str | None, arguments: list[str]) -> str | None:
    """Add the command that has the rights to a hint that asks for them."""
    if hint is None or _AS_ROOT not in hint:
        return hint
    if os.geteuid() == 0:
        return f"{hint}\n`{output.program()} doctor` tells what this root lacks"
    line = shlex.join(["sudo", sys.executable, "-m", "membench", *arguments])
    return f"{hint}: type\n`{line}`\n`{output.program()} doctor` shows what works without"


def _show_argument_error(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "membench"
    text = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
    if text:
        output.show_error(text[:1].lower() + text[1:], f"`{path} --help`")
    return USAGE


def _describe(error: Exception) -> str:
    """Name the type of an error and its place, without its message, which may hold user data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
