"""Shapes of the lessons' outputs: what differs from run to run passes, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import lessons

SHOWN = """
thread 22711: 1483 answers (25.3 %)
[8, 16)   12 ████
…
took 1.4 ms…
"""


@pytest.mark.parametrize(
    "output",
    [
        SHOWN,
        "thread 9: 1 answers (100 %)\n[8, 16) 7 \na\nb\ntook 900 µs, twice\n",
        "thread 9: 1 answers (100 %)\n[8, 16) 7 █\ntook 3 s\n",
    ],
)
def test_numbers_units_bars_and_omitted_lines_may_differ(output: str) -> None:
    assert lessons.shape(SHOWN).fullmatch(output)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "thread 22711: 1483 replies (25.3 %)\n[8, 16) 12 ██\ntook 1.4 ms\n",
        "thread 22711: 1483 answers (25.3 %)\n[8, 16) 12 ██\n",
        "thread 22711: many answers (25.3 %)\n[8, 16) 12 ██\ntook 1.4 ms\n",
        "Traceback\nthread 22711: 1483 answers (25.3 %)\n[8, 16) 12 ██\ntook 1.4 ms\n",
        "thread 22711: 1483 answers (25.3 %)\n[8, 16) 12 ██\ntook 1.4 ms\nand more\n",
    ],
)
def test_words_and_lines_may_not_differ(output: str) -> None:
    assert not lessons.shape(SHOWN).fullmatch(output)


def test_a_block_without_a_purpose_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n")
    with pytest.raises(ValueError, match="what is this block"):
        lessons.read(page)
