"""The engine's sources → the JSON fields of each result struct, by name and by type.

Structs from macros and types with a `Serialize` of their own are not read: `_native.examples` has
what they write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2] / "rust"
_STRUCT = re.compile(
    r"derive\([^)]*\bSerialize\b[^)]*\)\](?P<attributes>(?:\n#\[[^\n]*\])*)"
    r"\npub(?:\([a-z]+\))? struct (?P<name>\w+)(?:<[^>\n]*>)? \{\n(?P<body>.*?)\n\}",
    re.DOTALL,
)
_FIELD = re.compile(
    r"(?P<attributes>(?:^ +#\[[^\n]*\]\n)*)^    (?:pub(?:\([a-z]+\))? )?(?P<name>\w+): "
    r"(?P<type>[^\n]+?),$",
    re.MULTILINE,
)
_COMMENT = re.compile(r"^\s*//[^\n]*\n", re.MULTILINE)


@dataclass(frozen=True)
class Struct:
    """One struct that serde writes as a JSON object."""

    name: str
    file: Path
    types: dict[str, str] = field(default_factory=dict)

    @property
    def crate(self) -> str:
        """Its crate's folder."""
        return self.file.relative_to(ROOT).parts[0]


@cache
def structs() -> tuple[Struct, ...]:
    """Every struct of the engine that serde writes."""
    return tuple(one for file in sorted(ROOT.glob("*/src/**/*.rs")) for one in _parse(file))


def find(name: str, near: Struct | None = None, crate: str | None = None) -> Struct | None:
    """The struct of that name, in the same file, folder or crate if several have it."""
    found = [one for one in structs() if one.name == name]
    if near is not None:
        for same in (
            lambda one: one.file == near.file,
            lambda one: one.file.parent == near.file.parent,
            lambda one: one.crate == near.crate,
        ):
            closest = [one for one in found if same(one)]
            if closest:
                found = closest
                break
    if crate is not None:
        found = [one for one in found if one.crate == crate]
    assert len(found) <= 1, f"{name} is ambiguous: {[str(one.file) for one in found]}"
    return found[0] if found else None


def nested(struct: Struct, type_: str) -> Struct | None:
    """The struct inside options, lists and maps, if there is one."""
    for name in reversed(re.findall(r"\b[A-Z]\w*", type_)):
        if name not in _aliases(struct.crate) and (inner := find(name, near=struct)):
            return inner
    return None


def fields(struct: Struct) -> dict[str, Struct | None]:
    """The JSON keys, each with the struct that its value holds."""
    return {name: nested(struct, type_) for name, type_ in struct.types.items()}


@cache
def _aliases(crate: str) -> frozenset[str]:
    """The names of a crate that stand for another type: maps, in results."""
    sources = (file.read_text() for file in (ROOT / crate / "src").rglob("*.rs"))
    return frozenset(name for text in sources for name in re.findall(r"\btype (\w+) =", text))


def _parse(file: Path) -> Iterator[Struct]:
    for found in _STRUCT.finditer(_COMMENT.sub("", file.read_text())):
        struct = Struct(found["name"], file)
        for part in _FIELD.finditer(found["body"]):
            attributes = part["attributes"]
            if re.search(r"\bskip(_serializing)?\b(?!_if)", attributes):
                continue
            renamed = re.search(r'\brename = "(\w+)"', attributes)
            if "flatten" in attributes:
                inner = re.sub(r"\W.*", "", part["type"])
                struct.types.update(next(one.types for one in _parse(file) if one.name == inner))
            else:
                struct.types[renamed[1] if renamed else part["name"]] = part["type"]
        yield struct
