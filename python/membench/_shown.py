"""Results that read as their report: as text, and in a notebook."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

# Columns of a report that is not on a terminal.
_WIDTH = 100


class Shown:
    """A result whose `str` is its report, and which a notebook shows so; `repr` has every field."""

    __slots__ = ()

    def _report(self) -> RenderableType:
        """Lay out the report."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Return the report that the command prints."""
        from rich.console import Console  # noqa: PLC0415 - only for what is shown

        console = Console(
            file=io.StringIO(), width=_WIDTH, color_system=None, highlight=False, markup=False
        )
        with console.capture() as captured:
            console.print(self._report())
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def _repr_html_(self) -> str:
        """Return the report for a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"
