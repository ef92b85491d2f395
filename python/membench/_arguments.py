"""Checks of arguments, made before anything is started."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import SupportsFloat, TypeVar

from membench.errors import UsageError

Value = TypeVar("Value")

MOST_BYTES = (1 << 63) - 1
# Some thirty years, s.
LONGEST_S = 1e9


def several(name: str, values: Iterable[Value]) -> list[Value]:
    """Return the values of an option that takes several; a single text is none of them.

    Raises:
        UsageError: It is a text or a path, whose letters would be taken as the values, or cannot be
            iterated over.
    """
    if isinstance(values, (str, bytes, os.PathLike)) or not isinstance(values, Iterable):
        raise UsageError(f"`{name}` takes a list, not {values!r} alone", f"`{name}=[{values!r}]`")
    return list(values)


def whole(what: str, value: object, least: int, most: int) -> int:
    """Return a whole number from `least` to `most`.

    Raises:
        UsageError: It is no such number, and so not `what`.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # which is what it refuses
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(f"{value!r} is not {what}", f"a whole number from {least} to {most}")
    return number


def positive(what: str, value: object, most: float) -> float:
    """Return a number above 0 and at most `most`.

    Raises:
        UsageError: It is no such number, and so not `what`.
    """
    try:
        number = float(value) if isinstance(value, SupportsFloat) else 0.0
    except OverflowError:
        number = 0.0
    if not 0 < number <= most:
        raise UsageError(f"{value!r} is not {what}", f"a number above 0, at most {most:.0f}")
    return number


def seconds(what: str, value: object) -> float:
    """Return a duration in seconds.

    Raises:
        UsageError: It is none, and so not `what`.
    """
    return positive(f"{what} in seconds", value, LONGEST_S)


def size(value: object, least: int = 0) -> int:
    """Return a size in bytes.

    Raises:
        UsageError: It is none.
    """
    return whole("a size in bytes", value, least, MOST_BYTES)


def one_of(name: str, value: object, words: Sequence[str]) -> str:
    """Return a word that is one of `words`.

    Raises:
        UsageError: It is none of them.
    """
    if not isinstance(value, str) or value not in words:
        listed = ", ".join(f"`{word}`" for word in words)
        raise UsageError(f"{value!r} is not one of the {name}", f"choose from {listed}")
    return value


def text(name: str, value: object) -> str:
    """Return a text that the system can take as one: without a zero, and of whole letters.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(value, str) or not _is_encodable(value):
        raise UsageError(f"{value!r} is not a text", f"`{name}` takes text")
    return value


def kind(name: str, value: Value, wanted: type) -> Value:
    """Return an option that is an object of its own class.

    Raises:
        UsageError: It is of another class.
    """
    if not isinstance(value, wanted):
        raise UsageError(
            f"{value!r} is not a {wanted.__name__}", f"`{name}=membench.{wanted.__name__}(...)`"
        )
    return value


def path(name: str, value: object) -> Path:
    """Return a path.

    Raises:
        UsageError: It is none.
    """
    found = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(found, str) or not found or not _is_encodable(found, "surrogateescape"):
        raise UsageError(f"{value!r} in `{name}` is not a path", "a text or a `pathlib.Path`")
    return Path(found)


def _is_encodable(value: str, errors: str = "strict") -> bool:
    try:
        return b"\0" not in value.encode(errors=errors)
    except UnicodeEncodeError:
        return False


def flag(name: str, value: object) -> bool:
    """Return True or False.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{value!r} is not a choice", f"`{name}` is True or False")
    return value


def flags(**values: object) -> None:
    """Check that each is True or False.

    Raises:
        UsageError: One is neither.
    """
    for name, value in values.items():
        flag(name, value)


def patience(value: object) -> float:
    """Return the longest time to wait, s; 0 does not wait.

    Raises:
        UsageError: It is none.
    """
    return 0.0 if value == 0 else seconds("a time to wait", value)


def ports(values: Iterable[int]) -> list[int]:
    """Return ports.

    Raises:
        UsageError: One is none.
    """
    return [whole("a port", port, 1, (1 << 16) - 1) for port in several("ports", values)]


def texts(name: str, values: Iterable[str]) -> list[str]:
    """Return texts.

    Raises:
        UsageError: One is none.
    """
    return [text(name, value) for value in several(name, values)]


def optional_path(name: str, value: str | os.PathLike[str] | None) -> Path | None:
    """Return a path, or None.

    Raises:
        UsageError: It is neither.
    """
    return None if value is None else path(name, value)


def paths(name: str, values: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return paths as texts.

    Raises:
        UsageError: One is none.
    """
    return [str(path(name, value)) for value in several(name, values)]


def sources(values: str | Iterable[str]) -> list[str]:
    """Return sources: one, or several capture files.

    Raises:
        UsageError: One is none.
    """
    return texts("source", [values] if isinstance(values, str) else values)


def path_of(name: str, value: str | os.PathLike[str] | None) -> str | None:
    """Return a path as text, if there is one.

    Raises:
        UsageError: It is none.
    """
    return None if value is None else str(path(name, value))
