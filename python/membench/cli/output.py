"""Output of commands → stdout (data) and stderr (everything else).

Data that cannot be written is an error. A remark that cannot be written is left out: it never ends
a capture, and never changes an exit code.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from membench.errors import MembenchError
from membench.report.plain import plain, plain_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH = 100
# Characters of an error's message that are shown.
LONGEST_MESSAGE = 4_000
# Version of the fields of results that have none of their own.
SCHEMA_VERSION = 1


class Format(StrEnum):
    """Format of the printed results."""

    TEXT = "text"
    JSON = "json"


class _Stream:
    """A stream for text with the attributes of the one that it writes to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of any attribute
        return getattr(self._stream, name)

    def drop_unwritten(self) -> None:
        """Drop what cannot be written, on which the interpreter would fail again at its exit."""
        try:
            self._stream.flush()
        except OSError:
            with suppress(OSError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
                self._stream.flush()


class _Data(_Stream):
    """Standard output: a failure to write is told in words, but for a pipe that nobody reads."""

    def write(self, text: str) -> int:
        with self._told():
            try:
                return self._stream.write(text)
            except UnicodeEncodeError as error:  # written as standard error does
                known = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
                return self._stream.write(known)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.drop_unwritten()
            raise MembenchError(
                f"cannot write the output: {error.strerror}",
                "free some space, or write it elsewhere",
            ) from error


class _Remarks(_Stream):
    """Standard error: remarks that cannot be written are left out."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def guarded(command: Callable[[], int]) -> int:
    """Run a command whose output goes by the rules of this module, whoever writes it.

    Returns:
        The command's exit code.
    """
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere:  # stands in for a stream that is closed
        data, remarks = _Data(before[0] or nowhere), _Remarks(before[1] or nowhere)
        sys.stdout, sys.stderr = cast("TextIO", data), cast("TextIO", remarks)
        try:
            return command()
        finally:
            sys.stdout, sys.stderr = before
            data.drop_unwritten()
            remarks.drop_unwritten()


FormatOption = Annotated[Format, typer.Option("--format", help="Text for people or JSON.")]


@cache
def _console_type() -> type[Console]:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class PlainConsole(Console):
        """A console whose text, whoever wrote it, holds nothing that steers the terminal."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(plain(text, keep="\n"), style)

    return PlainConsole


def console(*, stderr: bool = False) -> Console:
    """Open a console that prints captured text plainly; 100 columns wide without a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH
    return _console_type()(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def show(renderable: RenderableType) -> None:
    """Print a report to stdout."""
    console().print(renderable)


def say(renderable: RenderableType) -> None:
    """Print a remark to stderr."""
    console(stderr=True).print(renderable)


def say_next(command: str) -> None:
    """Print a command to type next to stderr, on one line however long it is."""
    from rich.text import Text

    console(stderr=True).print(Text(f"next   {program()} {plain(command)}"), soft_wrap=True)


def show_json(result: object) -> None:
    """Print a result as JSON and nothing else, with the version of its fields."""
    print(as_json(result), flush=True)


def as_json(result: object) -> str:
    """Return a result as JSON, with the version of its fields."""
    data: Any = result
    if is_dataclass(result) and not isinstance(result, type):
        data = asdict(result)
    versioned = {"schema_version": SCHEMA_VERSION} | data
    return plain_json(json.dumps(versioned, indent=2, ensure_ascii=False))


def show_json_line(result: object) -> None:
    """Print a result as one line of JSON."""
    data: Any = result
    if is_dataclass(result) and not isinstance(result, type):
        data = asdict(result)
    print(plain_json(json.dumps(data, ensure_ascii=False)), flush=True)


def show_error(message: str, hint: str | None = None) -> None:
    """Print `error: …` and, if there is one, the remedy."""
    text = f"error: {_indented(message, 7)}\n"
    if hint:
        text += f"\nhint: {_indented(hint, 6)}\n"
    sys.stderr.write(text)


def _indented(text: str, width: int) -> str:
    """Return text, cut if it is very long, whose further lines cannot pass for lines of ours."""
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[:LONGEST_MESSAGE]}… ({len(text) - LONGEST_MESSAGE:,} characters more)"
    return plain(text, keep="\n").replace("\n", "\n" + " " * width)


class PlainFormatter(logging.Formatter):
    """Formats log lines, which may quote what strangers wrote."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return _indented(super().format(record), 2)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        import membench

        print(membench.__version__)
        raise typer.Exit


def program() -> str:
    """Return the way this program was started, for commands to copy."""
    if Path(sys.argv[0]).name == "membench":
        found = shutil.which("membench")
        is_found = found is not None and Path(found).samefile(sys.argv[0])
        return "membench" if is_found else shlex.quote(sys.argv[0])
    python = shutil.which("python")
    is_found = python is not None and Path(python) == Path(sys.executable)
    return f"{'python' if is_found else shlex.quote(_nearby(sys.executable))} -m membench"


def _nearby(path: str) -> str:
    """Shorten a path below the working directory."""
    with suppress(ValueError, OSError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
