"""Results of the engine, in Rust and in Python: the same fields, the same losses."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from rich.console import Console

import membench
from membench import _ledger, _metrics, _native, _top
from membench._doctor.diagnose import Probe
from membench._observe.results import Counted
from membench.report.record import render_losses
from support import rust_results
from support.rust_results import Struct

COMMANDS = Path(__file__).parents[2] / "rust" / "protocol" / "src" / "command.rs"
CAPTURE_DOC = Path(__file__).parents[2] / "docs" / "capture.md"
# Crate and struct → the dataclass that is built from its JSON.
ROOTS: dict[tuple[str, str], type] = {
    ("analysis", "Analysis"): membench.Analysis,
    ("analysis", "Snapshot"): _top._Counted,
    ("capture", "Probe"): Probe,
    ("capture", "Recording"): membench.Recording,
    ("capture", "Status"): membench.Status,
    ("observe", "Interval"): Counted,
    ("probe", "Found"): membench.FoundHook,
    ("probe", "Interval"): membench.ProbeInterval,
    ("profile", "Summary"): membench.Summary,
    ("profile", "Verification"): membench.Verification,
    ("replay", "Progress"): membench.Progress,
    ("replay", "Report"): membench.ReplayResult,
    ("trace", "Tally"): membench.CallTally,
    ("trace", "Total"): membench.CallTotal,
}
# Dataclasses of types that are no plain structs in Rust → what the engine writes of them.
WRITTEN: dict[type, Any] = {
    getattr(membench, name): value for name, value in json.loads(_native.examples()).items()
}
# Fields that Python adds to what the engine reports.
ADDED = {
    membench.Recording: {"observed"},
    membench.ReplayResult: {"checks", "sample", "profile", "pacing", "seed", "shard", "load"}
    | {"host", "observed", "observation"},
    membench.BusyClient: {"address"},
}


def dataclass_in(annotation: Any) -> type | None:  # noqa: ANN401 - any annotation
    """The dataclass inside optionals, tuples and mappings, if there is one."""
    if dataclasses.is_dataclass(annotation):
        return annotation if isinstance(annotation, type) else None
    if get_origin(annotation) in (Union, types.UnionType, tuple, dict, Mapping):
        inner = (dataclass_in(argument) for argument in get_args(annotation))
        return next((one for one in inner if one), None)
    return None


def pairs(struct: Struct, kind: type) -> Iterator[tuple[Struct, type]]:
    """This struct with its dataclass, and all that are nested in them."""
    yield struct, kind
    hints = get_type_hints(kind)
    for name, inner in rust_results.fields(struct).items():
        nested = dataclass_in(hints.get(name))
        if inner is not None and nested is not None:
            yield from pairs(inner, nested)


def all_pairs() -> list[tuple[Struct, type]]:
    found = {}
    for (crate, name), kind in ROOTS.items():
        struct = rust_results.find(name, crate=crate)
        assert struct is not None, f"{crate} has no struct {name}"
        found |= {(one.name, one.file, other): (one, other) for one, other in pairs(struct, kind)}
    return list(found.values())


@pytest.mark.parametrize(
    ("struct", "kind"),
    [pytest.param(*pair, id=f"{pair[0].crate}::{pair[0].name}") for pair in all_pairs()],
)
def test_a_result_has_the_same_fields_in_rust_and_in_python(struct: Struct, kind: type) -> None:
    hints = get_type_hints(kind)
    written = rust_results.fields(struct)
    assert set(written) == set(hints) - ADDED.get(kind, set())
    for name, inner in written.items():
        nested = dataclass_in(hints[name])
        expected = nested is not None and nested not in WRITTEN
        assert (inner is not None) == expected, f"{name}: {inner} is not {nested}"


def compare(value: Any, kind: type) -> set[type]:  # noqa: ANN401 - any JSON
    """Check the fields of a JSON object and of all in it; return the dataclasses compared."""
    value = value[0] if isinstance(value, list) else value
    hints = get_type_hints(kind)
    assert value.keys() == hints.keys()
    nested = {name: dataclass_in(hint) for name, hint in hints.items()}
    inner = (compare(value[name], one) for name, one in nested.items() if one is not None)
    return {kind}.union(*inner)


@pytest.mark.parametrize(
    ("kind", "value"), WRITTEN.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_what_is_written_has_the_fields_of_its_dataclass(kind: type, value: Any) -> None:  # noqa: ANN401
    assert kind in compare(value, kind)


def test_every_dataclass_of_a_result_is_compared() -> None:
    compared = {kind for _, kind in all_pairs()}
    compared = compared.union(*(compare(value, kind) for kind, value in WRITTEN.items()))
    todo = list(ROOTS.values())
    while todo:
        kind = todo.pop()
        assert kind in compared, kind
        todo += [
            nested
            for name, hint in get_type_hints(kind).items()
            if name not in ADDED.get(kind, ())
            and (nested := dataclass_in(hint)) is not None
            and nested not in compared
        ]
    assert len(compared) > 40


def test_the_commands_of_checks_are_the_engine_s() -> None:
    names = re.findall(r'=> "(\w+)"', COMMANDS.read_text())
    assert len(names) == 26
    assert sorted(_metrics.COMMANDS) == sorted([*names, "mget"])


def test_the_engine_s_losses_are_python_s() -> None:
    assert sorted(_ledger.LOSSES) == sorted(_native.loss_terms())
    assert set(_ledger.LOSSES) <= {one.name for one in dataclasses.fields(membench.Ledger)}


@pytest.mark.parametrize("term", _native.loss_terms())
def test_each_loss_is_explained_on_the_screen_and_in_the_documentation(term: str) -> None:
    ledger = membench.Ledger(complete=False, request_bytes=1, response_bytes=1, **{term: 1})
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(render_losses(ledger))
    shown = captured.get()
    assert shown.split()[0] == term
    assert "→" in shown
    rows = [line for line in CAPTURE_DOC.read_text().splitlines() if line.startswith("|")]
    assert any(f"`{term}`" in row.split("|")[1] for row in rows), f"{term}: not in docs/capture.md"
