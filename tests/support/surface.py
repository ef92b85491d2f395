"""The package → its public surface as text: names, signatures, fields."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

import membench
from membench import bpf


def describe() -> str:
    """Every public name of `membench` and `membench.bpf`, a line for it and one for each part."""
    lines = [line for name in membench.__all__ for line in _lines(name, getattr(membench, name))]
    lines += [line for name in bpf.__all__ for line in _lines(f"bpf.{name}", getattr(bpf, name))]
    return "\n".join(lines) + "\n"


def _lines(name: str, value: object) -> Iterator[str]:
    if not isinstance(value, type):
        yield f"{name}{_signature(value)}" if callable(value) else f"{name}: {type(value).__name__}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    yield f"class {name}({bases})" if bases else f"class {name}"
    yield from sorted(f"    {line}" for line in _members(value))


def _members(kind: type) -> Iterator[str]:
    own = {one.name: one for one in dataclasses.fields(kind)} if _has_fields(kind) else {}
    for one in own.values():
        yield f"{one.name}: {one.type}{_default(one)}"
    if not own and kind.__init__ is not object.__init__:
        yield f"__init__{_signature(kind.__init__)}"
    for name, member in vars(kind).items():
        if name in own or (name.startswith("_") and not name.startswith(("__arrow", "__iter"))):
            continue
        if isinstance(member, property):
            yield f"{name}: {_returned(member)}"
        elif inspect.isgetsetdescriptor(member):
            yield f"{name} (native)"
        elif callable(member) or isinstance(member, (classmethod, staticmethod)):
            yield f"{name}{_signature(getattr(kind, name))}"
        else:
            yield f"{name} = {member!r}"


def _has_fields(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)


def _default(one: dataclasses.Field[object]) -> str:
    if one.default is not dataclasses.MISSING:
        return f" = {one.default!r}"
    if one.default_factory is not dataclasses.MISSING:
        return f" = {getattr(one.default_factory, '__name__', '…')}()"
    return ""


def _returned(member: property) -> str:
    return str(inspect.signature(member.fget).return_annotation) if member.fget else "?"


def _signature(function: object) -> str:
    try:
        text = str(inspect.signature(function))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(…)"
    return text.replace("'", "")
