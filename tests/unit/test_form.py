"""tests/form.sh finds a break of each of its rules, planted in a tree that keeps them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

import form_docs

ROOT = Path(__file__).parents[2]
GIT = shutil.which("git") or "git"
CRATE = "rust/event/src"
PACKAGE = "python/membench"
KERNEL = "ebpf/common/src/lib.rs"
OBJECT = "rust/bpf/objects/capture.bpf.o"
DOCUMENTED = "".join(f"/// Item {number}.\nfn item_{number}() {{}}\n\n" for number in range(8))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with form.sh and files without fault."""
    plant(tmp_path, f"{CRATE}/lib.rs", f"//! A crate.\n\n{DOCUMENTED}")
    plant(tmp_path, f"{PACKAGE}/__init__.py", '"""A package."""\n')
    plant(tmp_path, KERNEL, "//! A crate of the kernel.\n")
    plant(tmp_path, OBJECT, "ELF")
    hashes = [f"{sha256(tmp_path / name)}  {name}\n" for name in (KERNEL, OBJECT)]
    plant(tmp_path, OBJECT.replace(".o", ".sha256"), "".join(hashes))
    for name in ("form.sh", "form_docs.py"):
        plant(tmp_path, f"tests/{name}", "")
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    subprocess.run([GIT, "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def plant(tree: Path, name: str, text: str) -> None:
    """Write a file and the folders it is in."""
    file = tree / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def broken_rules(tree: Path) -> list[str]:
    """Run form.sh and return its lines."""
    subprocess.run([GIT, "add", "--all"], cwd=tree, check=True)
    done = subprocess.run(tree / "tests/form.sh", capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert (done.returncode != 0) == bool(done.stdout)
    return done.stdout.splitlines()


def sha256(file: Path) -> str:
    """Hash a file as sha256sum does."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_tree_that_keeps_the_rules_passes(tree: Path) -> None:
    assert broken_rules(tree) == []


@pytest.mark.parametrize("opening", ["and", "or", "The same", "Of", "Whether", "What"])
@pytest.mark.parametrize("marker", ["///", "//!"])
def test_a_rust_item_opens_with_its_subject(tmp_path: Path, marker: str, opening: str) -> None:
    file = tmp_path / "one.rs"
    file.write_text(f"//! A module.\n\n{DOCUMENTED}{marker} {opening} the kernel.\nfn one() {{}}\n")
    assert next(form_docs.breaks(file)) == f"{file}:27: {opening} the kernel."


@pytest.mark.parametrize("opening", ["and", "or", "The same", "Of", "Whether", "What"])
def test_a_docstring_opens_with_its_subject(tmp_path: Path, opening: str) -> None:
    file = tmp_path / "one.py"
    file.write_text(f'"""A module."""\n\ndef one():\n    """{opening} it is."""\n')
    assert next(form_docs.breaks(file)) == f"{file}:4: {opening} it is."


ENTRIES = '''"""A module."""


def one(first, second, *third):
    """Do it.

    Args:
        first: The first
            and no other: what is left.
        second: {}
        *third: Others.

    Raises:
        OSError: When the disk fails.
    """
'''


@pytest.mark.parametrize("opening", ["What it is.", "How many.", "whether it is.", "Of two."])
@pytest.mark.parametrize("section", ["Args", "Attributes"])
def test_an_argument_and_an_attribute_open_with_their_subject(
    tmp_path: Path, section: str, opening: str
) -> None:
    file = tmp_path / "one.py"
    file.write_text(ENTRIES.format("The other.").replace("Args", section))
    assert list(form_docs.breaks(file)) == []
    file.write_text(ENTRIES.format(opening).replace("Args", section))
    assert list(form_docs.breaks(file)) == [f"{file}:10: {opening}"]


@pytest.mark.parametrize(
    "comment",
    [
        "/// Bytes that were read\n/// and those that were not.",
        "/// The bytes of this call,\n/// or zero.",
        "/// Reads all.\n///\n/// ```\n///\n/// What a test prints.\n/// ```",
        "/// order decides.",
        "/// Offset.",
        "/// Whatever is left.",
    ],
    ids=["and wraps", "or wraps", "fenced", "begins with or", "begins with Of", "whatever"],
)
def test_a_wrapped_sentence_and_a_longer_word_are_no_break(tmp_path: Path, comment: str) -> None:
    file = tmp_path / "one.rs"
    file.write_text(f"//! A module.\n\n{comment}\nfn one() {{}}\n")
    assert list(form_docs.breaks(file)) == []


def test_one_item_in_ten_may_open_with_a_question_word(tmp_path: Path) -> None:
    file = tmp_path / "one.rs"
    file.write_text(f"//! A module.\n\n{DOCUMENTED}/// When it was read.\nfn at() {{}}\n")
    assert list(form_docs.breaks(file)) == []
    file.write_text(f"//! How to read.\n\n{DOCUMENTED}/// When it was read.\nfn at() {{}}\n")
    expected = f"{file}: 2 of 10 items open with a question word: lines 1, 27"
    assert list(form_docs.breaks(file)) == [expected]


def test_a_break_is_found_under_the_name_of_its_rule(tree: Path) -> None:
    breaks = [
        ("Python only in bindings", f"{CRATE}/a.rs", "//! One.\nuse pyo3::prelude::*;\n"),
        ("unsafe only in sys.rs", f"{CRATE}/b.rs", "//! One.\nunsafe fn one() {}\n"),
        ("unfinished", f"{CRATE}/c.rs", "//! One.\n// " + "TO" + "DO\n"),
        ("the library does not talk", f"{PACKAGE}/d.py", '"""One."""\nprint()\n'),
        ("Typer at the door only", f"{PACKAGE}/e.py", '"""One."""\nimport typer\n'),
        ("Rich in reports only", f"{PACKAGE}/f.py", '"""One."""\nimport rich\n'),
        ("one definition of shared types", f"{CRATE}/g.rs", "//! One.\n#[repr(C)]\n"),
        (
            "types of the ring only in the shared crate",
            f"{CRATE}/sys.rs",
            "//! C.\nuse zerocopy;\n",
        ),
        ("a module opens with its line", f"{CRATE}/h.rs", "fn one() {}\n"),
        ("a module opens with its line", f"{PACKAGE}/i.py", "one = 1\n"),
        ("too long", f"{CRATE}/j.rs", "//! One.\n" + "\n" * 600),
        ("too long", f"{PACKAGE}/k.py", '"""One."""\n' + "\n" * 600),
        ("subject first", f"{CRATE}/l.rs", "//! What it is.\n"),
        ("subject first", f"{PACKAGE}/m.pyi", '"""What it is."""\n'),
        ("subject first", "tests/n.py", '"""What it is."""\n'),
        ("subject first", "benches/o.py", '"""What it is."""\n'),
        ("a participle names no thing", f"{CRATE}/running.rs", "//! One.\n"),
        ("a participle names no thing", f"{CRATE}/sampling/mod.rs", "//! One.\n"),
        ("a participle names no thing", "ebpf/observe/src/watching.rs", "//! One.\n"),
    ]
    for _, name, text in breaks:
        plant(tree, name, text)
    found = broken_rules(tree)
    for rule, name, _ in breaks:
        assert any(line.startswith(f"{rule}: {name}") for line in found), (rule, name, found)
    assert len({line.split(":")[0] for line in found}) == len({rule for rule, _, _ in breaks})


def test_a_kernel_object_is_built_from_the_sources_beside_it(tree: Path) -> None:
    rule = "kernel object out of step with its source (./rebuild.sh)"
    plant(tree, KERNEL, "//! Another crate of the kernel.\n")
    assert {line.split(": ")[0] for line in broken_rules(tree)} == {rule}
    (tree / OBJECT).unlink()
    assert broken_rules(tree) == ["missing: rust/bpf/objects/*.bpf.o"]


@pytest.mark.parametrize("crate", [CRATE, "ebpf/observe/src"])
def test_two_modules_of_a_crate_differ_by_more_than_a_plural(tree: Path, crate: str) -> None:
    plant(tree, f"{crate}/flow.rs", "//! One.\n")
    plant(tree, "rust/decode/src/flows.rs", "//! Another crate's.\n")
    assert broken_rules(tree) == []
    plant(tree, f"{crate}/packet/flows/mod.rs", "//! Several.\n")
    rule = "names that differ by a plural only"
    assert broken_rules(tree) == [f"{rule}:  {crate}/flow.rs and {crate}/packet/flows/mod.rs"]
