"""Readings of a profile in docs/profile-format.md: each code block runs as it is written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/profile-format.md"
READING = re.search(r"^## Reading\n(.*?)^## ", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
BLOCKS: list[tuple[str, str]] = re.findall(
    r"```(\w+)\n(.*?)```", READING[1] if READING else "", re.DOTALL
)


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the document's two profiles into the working directory."""
    shutil.copytree(ROOT / "tests/data/sealed", tmp_path / "production.mb")
    shutil.copytree(ROOT / "tests/data/killed", tmp_path / "killed.mb")
    monkeypatch.chdir(tmp_path)


def test_the_document_reads_with_sql_and_with_python() -> None:
    assert {language for language, _ in BLOCKS} == {"sql", "python"}


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_a_documented_reading_runs(language: str, code: str) -> None:
    if language == "sql":
        assert duckdb.sql(code).fetchall()
    else:
        exec(compile(code, str(DOCUMENT), "exec"), {})  # noqa: S102 - the document's own code
