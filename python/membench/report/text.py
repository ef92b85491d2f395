"""Renderables → plain text."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

# Columns of a report that is not on a terminal.
_WIDTH = 100


def as_text(report: RenderableType) -> str:
    """Lay out a report as plain text."""
    console = Console(
        file=io.StringIO(), width=_WIDTH, color_system=None, highlight=False, markup=False
    )
    lines = console.render_lines(report, pad=False)
    return "\n".join("".join(part.text for part in line).rstrip() for line in lines)
