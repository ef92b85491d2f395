"""Frozen dataclasses → the JSON schema of what `--format json` prints of them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

_PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean"}


def schema_of(kind: Any, version: int) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return the schema of a result with the version of its fields."""
    definitions: dict[str, Any] = {}
    root = _object(kind, definitions)
    root["properties"] = {"schema_version": {"const": version}} | root["properties"]
    root["required"] = ["schema_version", *root["required"]]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind.__name__}
    return head | root | {"$defs": dict(sorted(definitions.items()))}


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    hints = get_type_hints(kind)
    described = _attributes(kind)
    properties = {
        field.name: _value(hints[field.name], definitions)
        | ({"description": described[field.name]} if field.name in described else {})
        for field in fields(kind)
    }
    needed = [
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    ]
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
    }


def _attributes(kind: type) -> dict[str, str]:
    """Return what the docstrings of a class and of those it is made of say of each attribute."""
    described: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        _, _, section = (inspect.getdoc(one) or "").partition("Attributes:\n")
        name = ""
        for line in section.splitlines():
            if line.startswith("    ") and not line.startswith("     "):
                name, _, text = line.strip().partition(": ")
                described[name] = text
            elif name and line.strip():
                described[name] += f" {line.strip()}"
    return described


def _value(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if is_dataclass(kind):
        name = kind.__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if origin in (Union, types.UnionType):
        (inner,) = (one for one in arguments if one is not type(None))
        return {"anyOf": [_value(inner, definitions), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _value(arguments[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _value(arguments[1], definitions)}
    raise TypeError(f"no schema for {kind}")
