"""Results as text and in notebooks."""

from __future__ import annotations

from pathlib import Path

import membench

SEALED = Path(__file__).parents[1] / "data" / "sealed"


def test_the_text_of_an_analysis_is_its_report() -> None:
    analysis = membench.analyze(SEALED)
    lines = str(analysis).splitlines()
    assert len(lines) < 30
    assert all(len(line) <= 100 for line in lines)
    assert lines[0].startswith("sealed   ")
    assert any(line.startswith("commands") for line in lines)
    assert "schema_version=" in repr(analysis)


def test_a_notebook_shows_the_report_with_its_characters_escaped() -> None:
    analysis = membench.analyze(SEALED)
    shown = analysis._repr_html_()
    assert shown.startswith("<pre>sealed")
    assert shown.endswith("</pre>")
    assert "<" not in shown.removeprefix("<pre>").removesuffix("</pre>")
