"""Text that strangers wrote → text that can neither steer a terminal nor forge a line.

A server's version, a manifest, the name of a file, a process or an interface: each may hold escape
sequences, which move the cursor, set the title or fill the clipboard, and characters that turn the
direction of the text around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast
from unicodedata import category

Value = TypeVar("Value")


def plain(text: str, keep: str = "") -> str:
    r"""Return text with every character that is not printable as its code: `\x1b`, `\u202e`.

    Args:
        text: The text, of any origin.
        keep: Characters that stay as they are, such as a newline in a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(
        character if _is_printable(character) or character in keep else _code(character)
        for character in text
    )


def plain_result(value: Value, keep: str = "") -> Value:
    """Return a result whose every text is plain, for a report; `keep` as in `plain`."""
    return cast("Value", _plain_value(value, keep))


def plain_json(text: str) -> str:
    """Return JSON with every character that is not printable as its JSON escape.

    JSON itself escapes characters below a space, but not those above 127 that steer a terminal.
    """
    return "".join(
        character if _is_printable(character) or character == "\n" else _json_escape(character)
        for character in text
    )


def _plain_value(value: Any, keep: str) -> Any:  # noqa: ANN401 - any field of a result
    if type(value) is str:  # names of an enumeration are membench's own
        return plain(value, keep)
    if isinstance(value, Mapping):
        return {_plain_value(name, keep): _plain_value(item, keep) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_plain_value(item, keep) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: _plain_value(getattr(value, field.name), keep)
            for field in fields(value)
            if field.init
        }
        return replace(value, **changed)
    return value


def _is_printable(character: str) -> bool:
    return character.isprintable() or category(character) == "Zs"


def _code(character: str) -> str:
    return character.encode("unicode-escape").decode()


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
