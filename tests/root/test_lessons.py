"""The lessons: every block runs against a real memcached, and gives what its page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import lessons
from support.ports import free_port

pytestmark = pytest.mark.root

PAGES = sorted(lessons.LESSONS.glob("[0-9][0-9]-*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_lesson_gives_what_its_page_shows(page: Path, tmp_path: Path) -> None:
    lesson = lessons.read(page)

    outputs = lessons.run(lesson, tmp_path, free_port())

    for step, output in zip(lesson.steps, outputs, strict=False):
        if step.shown is not None:
            assert lessons.shape(step.shown).fullmatch(output), (
                f"{page.name} shows\n{step.shown}\nand this came:\n{output}"
            )
    assert len(outputs) == len(lesson.steps), f"{page.name} failed:\n{outputs[-1]}"


def test_every_page_asks_shows_and_has_an_exercise() -> None:
    index = (lessons.LESSONS / "README.md").read_text()
    assert PAGES
    for page in PAGES:
        text = page.read_text()
        assert text.splitlines()[0].endswith("?"), page.name
        assert "\n## Exercise\n" in text, page.name
        assert "\n## Solution\n" in text, page.name
        assert any(step.shown for step in lessons.read(page).steps), page.name
        assert f"({page.name})" in index, page.name
