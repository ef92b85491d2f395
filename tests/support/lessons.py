"""A page of `docs/lessons` → its blocks, run in one shell; and the shapes of their outputs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LESSONS = ROOT / "docs/lessons"
#: Port of the server that each page starts.
PORT = "11311"
#: Longest time of a page, s. A page takes a reader two minutes at most.
PATIENCE_S = 120

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: A block of source begins with a comment that names its file.
_FILE = re.compile(r"(?:#|//) ([\w.-]+)")
_NUMBER = r"-?\d[\d.,]*(?:e[+-]?\d+)?(?: ?(?:%|ns|µs|ms|s|k|M|B|kB|MB|GB|k/s|M/s|/s))?(?![\w.])"
_BAR = "[▁▂▃▄▅▆▇█▏▎▍▌▋▊▉@#]"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|(?P<bar>{_BAR}+)|(?P<any>…)|(?P<space>\s+)")
_REST_OF_LINE = "…"


@dataclass(frozen=True, slots=True)
class Step:
    """Commands of a page, and the output that the page shows for them.

    Attributes:
        commands: Lines for the shell.
        shown: The output on the page; None if it shows none.
    """

    commands: str
    shown: str | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """The files and commands that a page has its reader type.

    Attributes:
        files: Name and content of each file.
        steps: Commands, in order.
    """

    files: dict[str, str]
    steps: list[Step]


def read(page: Path) -> Lesson:
    """Read a page.

    Raises:
        ValueError: A block is neither a file, nor commands, nor the output of commands before it.
    """
    files: dict[str, str] = {}
    steps: list[Step] = []
    for language, text in _BLOCK.findall(page.read_text()):
        named = _FILE.match(text)
        if language == "sh":
            steps.append(Step(text, None))
        elif language == "text" and steps and steps[-1].shown is None:
            steps[-1] = Step(steps[-1].commands, text)
        elif language != "console" and named:
            files[named[1]] = text
        elif language != "console":
            raise ValueError(f"{page.name}: what is this block? {text.splitlines()[0]}")
    return Lesson(files, steps)


def shape(shown: str) -> re.Pattern[str]:
    """Return the pattern of all outputs that look like the one shown.

    Numbers stand for any numbers with any unit, bars for any bars, blanks for any blanks. `…`
    stands for the rest of its line; alone on a line, for any lines.
    """
    lines = [
        r"(?:.*\n)*?" if line.strip() == _REST_OF_LINE else f"{_line(line.strip())}\\s*\\n"
        for line in shown.strip().splitlines()
    ]
    return re.compile(r"\s*" + r"\s*".join(lines) + r"\s*")


def _line(shown: str) -> str:
    pattern = ""
    end = 0
    for token in _TOKEN.finditer(shown):
        pattern += re.escape(shown[end : token.start()])
        pattern += {"number": _NUMBER, "bar": rf"{_BAR}*", "any": ".*", "space": r"\s+"}[
            token.lastgroup or ""
        ]
        end = token.end()
    return pattern + re.escape(shown[end:])


def run(lesson: Lesson, folder: Path, port: int) -> list[str]:
    """Run a page in `folder`, with its server at `port`, and return the output of each step.

    The files that the pages use are copied into the folder, so that relative paths hold. A step
    that fails ends the run; its output is the last.

    Raises:
        subprocess.TimeoutExpired: The page takes too long.
    """
    place = folder / "docs/lessons"
    shutil.copytree(LESSONS, place)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("target"))
    for name, content in lesson.files.items():
        (place / name).write_text(content.replace(PORT, str(port)))
    script = "\n".join(
        f"{{\n{step.commands.replace(PORT, str(port))}\n}} >{index}.out 2>&1 || exit"
        for index, step in enumerate(lesson.steps)
    )
    shell = subprocess.Popen(
        ["/bin/bash", "-c", script],
        cwd=place,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "100",
        },
        start_new_session=True,
    )
    try:
        shell.wait(PATIENCE_S)
    finally:
        # The group is the shell's own: what the page started, and nothing else.
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    outputs = [place / f"{index}.out" for index in range(len(lesson.steps))]
    return [output.read_text() for output in outputs if output.exists()]
