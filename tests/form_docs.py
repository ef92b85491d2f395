"""Print every documented item of the given files that opens in a forbidden way; exit 1 if any does.

An item is a run of `///` or `//!` lines in Rust, and a docstring in Python. Its opening is the
first word of its first paragraph. Lines are joined to paragraphs first, so that a sentence may wrap
anywhere.

    tests/form_docs.py FILE...
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# No paragraph of an item starts so: it would continue the sentence of another item, or put the
# subject last.
FORBIDDEN = re.compile(r"(and|or|The same|Of|Whether|What)\b")
# An item may open so, but no more than one in ten of a file; an argument or attribute never.
QUESTION = re.compile(r"(what|whether|where|which|why|how|who|whose|when|those)\b", re.IGNORECASE)
MOST_QUESTIONS = 1 / 10
# A section of a docstring, and an entry in it: `name: Text`.
SECTION = re.compile(r"(\s*)(?:Args|Attributes):")
ENTRY = re.compile(r"(\s*)\*{0,2}[\w.]+: (.*)")
RUST_DOC = re.compile(r"\s*//[/!](?!/) ?(.*)")

Item = list[tuple[int, str]]


def rust_items(text: str) -> Iterator[Item]:
    """Yield each run of doc lines, as numbered lines without their markers."""
    item: Item = []
    for number, line in enumerate(text.splitlines(), 1):
        if doc := RUST_DOC.fullmatch(line):
            item.append((number, doc[1]))
        elif item:
            yield item
            item = []
    if item:
        yield item


def python_items(text: str) -> Iterator[Item]:
    """Yield each string that stands as a statement: docstrings, and those below an attribute."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        for statement in node.body if isinstance(node, documented) else ():
            match statement:
                case ast.Expr(ast.Constant(str(value))):
                    yield list(enumerate(value.splitlines(), statement.lineno))


def paragraphs(item: Item) -> Iterator[tuple[int, str]]:
    """Yield the first line of each paragraph outside code fences."""
    fenced = False
    previous = ""
    for number, line in item:
        text = line.strip()
        if text.startswith("```"):
            fenced = not fenced
        elif text and not previous and not fenced:
            yield number, text
        previous = text


def entries(item: Item) -> Iterator[tuple[int, str]]:
    """Yield the text of each argument and attribute that a docstring lists."""
    section: str | None = None
    for number, line in item:
        if header := SECTION.fullmatch(line):
            section = header[1]
        elif (
            section is not None
            and (entry := ENTRY.fullmatch(line))
            and len(entry[1]) == len(section) + 4
        ):
            yield number, entry[2]
        elif (
            line.strip() and section is not None and len(line) - len(line.lstrip()) <= len(section)
        ):
            section = None


def breaks(path: Path) -> Iterator[str]:
    """Yield what is wrong in one file."""
    text = path.read_text()
    items = list(python_items(text) if path.suffix in (".py", ".pyi") else rust_items(text))
    openings = [list(paragraphs(item)) for item in items]
    for number, line in (one for item in openings for one in item):
        if FORBIDDEN.match(line):
            yield f"{path}:{number}: {line}"
    for number, line in (one for item in items for one in entries(item)):
        if FORBIDDEN.match(line) or QUESTION.match(line):
            yield f"{path}:{number}: {line}"
    questions = [item[0] for item in openings if item and QUESTION.match(item[0][1])]
    if len(questions) > MOST_QUESTIONS * len(items):
        lines = ", ".join(str(number) for number, _ in questions)
        share = f"{len(questions)} of {len(items)} items"
        yield f"{path}: {share} open with a question word: lines {lines}"


def main(names: list[str]) -> int:
    """Check the files and print what is wrong."""
    found = [one for name in names for one in breaks(Path(name))]
    sys.stdout.writelines(f"{one}\n" for one in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
