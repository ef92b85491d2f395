"""The engine's JSON text → frozen dataclasses."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Result = TypeVar("Result")


def from_json(kind: type[Result], text: str) -> Result:
    """Build `kind` from the engine's JSON.

    Raises:
        ValueError: A field without a default is missing, a field is unknown, or a value has the
            wrong shape. Engine and package are one wheel, so each is a defect.
    """
    built: Result = build(kind, json.loads(text))
    return built


def build(kind: Any, value: Any, *, are_others_allowed: bool = False) -> Any:  # noqa: ANN401 - any annotation, any JSON value
    """Shape one JSON value by the annotation `kind`.

    `are_others_allowed` passes over fields that this version does not know.
    """
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _build_dataclass(kind, value, are_others_allowed)
    if origin in (Union, types.UnionType):
        return _build_optional(kind, value, are_others_allowed)
    if origin is tuple:
        return tuple(
            build(get_args(kind)[0], item, are_others_allowed=are_others_allowed) for item in value
        )
    if origin in (Mapping, dict):
        return {
            name: build(get_args(kind)[1], item, are_others_allowed=are_others_allowed)
            for name, item in value.items()
        }
    if kind in (int, float, str, bool):
        return _build_plain(kind, value)
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build_dataclass(kind: Any, value: Any, are_others_allowed: bool) -> Any:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise ValueError(f"{kind.__name__}: expected an object, got {type(value).__name__}")  # noqa: TRY004
    hints = _hints(kind)
    if not are_others_allowed and (unknown := value.keys() - hints.keys()):
        raise ValueError(f"{kind.__name__}: unknown fields: {', '.join(sorted(unknown))}")
    arguments = {}
    for field in fields(kind):
        if field.name in value:
            arguments[field.name] = build(
                hints[field.name], value[field.name], are_others_allowed=are_others_allowed
            )
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{kind.__name__}: `{field.name}` is missing")
    return kind(**arguments)


def _build_optional(kind: Any, value: Any, are_others_allowed: bool) -> Any:  # noqa: ANN401
    if value is None:
        return None
    (inner,) = (argument for argument in get_args(kind) if argument is not type(None))
    return build(inner, value, are_others_allowed=are_others_allowed)


def _build_plain(kind: type, value: Any) -> Any:  # noqa: ANN401
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value
