"""docs/architecture.md agrees with the tree: arrows with the manifests, paths with the files.

Inside a crate, the folders and files directly under `src` import one another in one direction only.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
WORKSPACES = ("Cargo.toml", "ebpf/Cargo.toml", "rust/fuzz/Cargo.toml")
CRATE = re.compile(r"`((?:rust|ebpf)/\w+)`")
#: A module named from the crate's root, alone or first in braces.
IMPORT = re.compile(r"crate::(?:\{[^}]*?\b)?([a-z_]\w*)::")
SOURCES = sorted(ROOT.glob("rust/*/src"))
PLACE = re.compile(r"`((?:rust|ebpf|python|tests)/[\w./]+)`")


def documented_arrows() -> dict[str, set[str]]:
    """Read the table of crates: each one's folder and the folders that it is built on."""
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines()]
    return {
        crate[1]: set(CRATE.findall(cells[1]))
        for cells in rows
        if len(cells) == 4 and (crate := CRATE.fullmatch(cells[0].removeprefix("| ")))
    }


def real_arrows() -> dict[str, set[str]]:
    """Ask Cargo for them; what only tests and benches need does not count."""
    arrows = {}
    for workspace in WORKSPACES:
        for package in packages(ROOT / workspace):
            built_on = {
                folder(Path(dependency["path"]))
                for dependency in package["dependencies"]
                if dependency.get("path") and dependency["kind"] is None
            }
            arrows[folder(Path(package["manifest_path"]).parent)] = built_on
    return arrows


def packages(manifest: Path) -> list[dict]:  # type: ignore[type-arg]  # cargo's own JSON
    """Return the packages of a workspace as Cargo describes them."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    command = [cargo, "metadata", "--no-deps", "--format-version=1", "--manifest-path", manifest]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)["packages"]


def folder(path: Path) -> str:
    """Return a path as the page writes it."""
    return path.relative_to(ROOT).as_posix()


def test_the_arrows_are_those_that_cargo_holds() -> None:
    assert documented_arrows() == real_arrows()


def test_each_place_that_the_page_names_exists() -> None:
    places = PLACE.findall(PAGE.read_text())
    assert len(places) > 20
    assert [place for place in places if not (ROOT / place).exists()] == []


def module_imports(source: Path) -> dict[str, set[str]]:
    """Return which modules directly under a crate's `src` each of them imports.

    Tests do not count.
    """
    imports: dict[str, set[str]] = {}
    for file in source.rglob("*.rs"):
        module, *rest = file.relative_to(source).with_suffix("").parts
        if module == "lib" or "tests" in rest:
            continue
        code, _, _ = file.read_text().partition("#[cfg(test)]\nmod tests")
        named = {name for name in IMPORT.findall(code) if name != module}
        imports.setdefault(module, set()).update(named & {path.stem for path in source.iterdir()})
    return imports


@pytest.mark.parametrize("source", SOURCES, ids=[str(path.parent.name) for path in SOURCES])
def test_a_crate_s_modules_import_in_one_direction(source: Path) -> None:
    try:
        TopologicalSorter(module_imports(source)).prepare()
    except CycleError as circle:
        pytest.fail(f"modules in a circle: {' -> '.join(circle.args[1])}")


def test_an_import_circle_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "mod.rs").write_text("use crate::two::{A};\n")
    (tmp_path / "two.rs").write_text("use crate::{Error, one::B};\n")
    with pytest.raises(CycleError):
        TopologicalSorter(module_imports(tmp_path)).prepare()
