"""The names that users meet: complete, findable, and changed only on purpose."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import membench
from support import surface

GOLDEN = Path(__file__).parent.parent / "golden" / "public-api.txt"
# A word for a duration → the endings that say its unit.
DURATIONS = ("duration", "interval", "time", "lag", "elapsed", "timeout", "age", "every")
UNITS = ("_s", "_ms", "_us", "_ns", "_second")
# Names that hold such a word and no duration.
NOT_DURATIONS = ("on_interval", "over_time", "time_basis")


def test_the_surface_is_the_one_that_was_announced(update_golden: bool) -> None:
    described = surface.describe()
    if update_golden:
        GOLDEN.write_text(described)
    assert described == GOLDEN.read_text(), "if meant: --update-golden, and CHANGELOG.md"


def test_every_public_name_is_shown_and_found() -> None:
    assert sorted(set(membench.__all__)) == membench.__all__
    shown = dir(membench)
    assert [name for name in membench.__all__ if name not in shown] == []
    for name in membench.__all__:
        assert getattr(membench, name) is not None
    with pytest.raises(AttributeError, match="rceord"):
        _ = membench.rceord  # type: ignore[attr-defined]


def test_nothing_private_is_shown_in_a_fresh_interpreter() -> None:
    """Names are loaded when they are used; `dir` shows them before that."""
    code = """
import membench
shown = [name for name in dir(membench) if name[0] != "_"]
for name in reversed(shown):
    getattr(membench, name)
print(*shown)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(shown) == {name for name in membench.__all__ if name[0] != "_"}


def test_help_does_not_wait_for_the_engine() -> None:
    """Results and functions load it when they are used."""
    code = "import sys, membench.cli; membench.cli.main(['record', '--help']); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "membench.cli" in loaded
    assert "membench._native" not in loaded


def written_in_python() -> Iterator[tuple[str, Any]]:
    """Every public function, class and method that is not of the engine."""
    for name in set(membench.__all__) - {"__version__", "Batch", "Event", "Table"}:
        value = getattr(membench, name)
        yield name, value
        for part, member in vars(value).items() if isinstance(value, type) else ():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(function):
                yield f"{name}.{part}", function


def test_every_annotation_can_be_evaluated() -> None:
    """Tools that read annotations at run time find each name where it is used."""
    found = dict(written_in_python())
    assert {"analyze", "Capture.batches", "Selection.__init__"} <= set(found)
    for name, value in found.items():
        assert isinstance(get_type_hints(value), dict), name


def classes_in(annotation: Any) -> Iterator[type]:  # noqa: ANN401 - any annotation
    """The classes that an annotation names."""
    if isinstance(annotation, type):
        yield annotation
    for inner in get_args(annotation):
        yield from classes_in(inner)


def hints_of(value: type) -> dict[str, Any]:
    """Annotations of a class's fields, and what its methods and properties return."""
    found: dict[str, Any] = {}
    if dataclasses.is_dataclass(value):
        found |= get_type_hints(value)
    for name, member in vars(value).items():
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") or name in ("__iter__", "__enter__"):
            found |= {name: returned(function)} if inspect.isfunction(function) else {}
    return found


def returned(function: Any) -> Any:  # noqa: ANN401 - any annotation
    """The return annotation, evaluated where its names are those of its module or of membench."""
    text = inspect.signature(function).return_annotation
    if not isinstance(text, str):
        return text
    try:
        return eval(text, vars(sys.modules[function.__module__]), native_names())  # noqa: S307
    except NameError:
        return object


def native_names() -> dict[str, object]:
    from membench import _native  # noqa: PLC0415

    return {"_native": _native} | {name: getattr(membench, name) for name in membench.__all__}


def test_every_class_that_a_function_returns_can_be_imported() -> None:
    todo: list[object] = [getattr(membench, name) for name in membench.__all__]
    seen: set[int] = set()
    missing = set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if inspect.isfunction(value):
            todo += classes_in(returned(value))
            continue
        if not isinstance(value, type) or not value.__module__.startswith("membench"):
            continue
        name = value.__name__
        if getattr(membench, name, None) is not value and not name.startswith("_"):
            missing.add(f"{value.__module__}.{name}")
        for hint in hints_of(value).values():
            todo += classes_in(hint)
    missing -= {"membench._running.Running", "membench._native.EventIterator"}
    assert sorted(missing) == []
    assert len(seen) > 80


def durations() -> Iterator[tuple[str, str]]:
    """Every keyword and field that holds a duration by its name."""
    for name in membench.__all__:
        value = getattr(membench, name)
        if inspect.isfunction(value):
            names: list[str] = list(inspect.signature(value).parameters)
        elif dataclasses.is_dataclass(value):
            names = [one.name for one in dataclasses.fields(value)]
        else:
            continue
        for one in names:
            if set(DURATIONS) & set(one.split("_")) and not one.endswith(NOT_DURATIONS):
                yield name, one


def test_a_duration_says_its_unit() -> None:
    found = list(durations())
    assert len(found) > 5
    assert [pair for pair in found if not pair[1].endswith(UNITS)] == []


def test_a_result_cannot_be_changed() -> None:
    kinds = [getattr(membench, name) for name in membench.__all__]
    results = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    assert len(results) > 50
    for kind in results:
        assert kind.__dataclass_params__.frozen, kind
        assert "__slots__" in vars(kind), kind


def test_every_public_name_is_documented() -> None:
    """Classes of the native module are documented in its stub."""
    for name in set(membench.__all__) - {"__version__", "Batch", "Event", "Table"}:
        value = getattr(membench, name)
        assert value.__doc__, name
        assert not value.__doc__.startswith(f"{name}("), f"{name}: generated by dataclass"
