"""The engine's JSON → dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from membench._results import from_json


@dataclass(frozen=True, slots=True)
class Inner:
    size: int


@dataclass(frozen=True, slots=True)
class Outer:
    name: str | None
    share: float
    inner: Inner
    several: tuple[Inner, ...]
    counts: Mapping[str, int]
    extra: int = 7


TEXT = '{"name":null,"share":1,"inner":{"size":2},"several":[{"size":3}],"counts":{"get":4}}'


def test_nested_values_become_their_dataclasses() -> None:
    assert from_json(Outer, TEXT) == Outer(None, 1.0, Inner(2), (Inner(3),), {"get": 4}, 7)


def test_a_default_stands_in_for_a_field_that_the_engine_leaves_out() -> None:
    assert from_json(Outer, TEXT).extra == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "`size` is missing"),
        ('{"size":2,"newer":[],"added":1}', "unknown fields: added, newer"),
        ('{"size":"2"}', "expected int, got str"),
        ('{"size":true}', "expected int, got bool"),
        ("[]", "expected an object, got list"),
    ],
)
def test_a_value_of_the_wrong_shape_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(Inner, text)
