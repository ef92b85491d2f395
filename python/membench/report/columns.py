"""Rows of a name and figures → a table that drops columns rather than cut a figure."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_BETWEEN = 2
# A name is cut where it would leave no room for a figure, but never below this width.
_LEAST_NAME = 16


class Columns:
    """A table as wide as there is room: the last columns go first, then the names are cut."""

    def __init__(self, name: str, *figures: str) -> None:
        """Begin with the headings, the most important figure first."""
        self._rows: list[tuple[str, ...]] = [(name, *figures)]

    def add(self, name: str, *figures: str) -> None:
        """Add a row."""
        self._rows.append((name, *figures))

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out the columns that fit."""
        shown, room = self._fitting(options.max_width)
        table = Table(box=None, padding=(0, _BETWEEN, 0, 0), pad_edge=False, header_style="")
        head, *rows = self._rows
        table.add_column(head[0], no_wrap=True, overflow="ellipsis", max_width=room)
        for heading in head[1:shown]:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row[:shown]))
        yield table

    def _fitting(self, width: int) -> tuple[int, int]:
        """Return how many columns are shown, and how wide the names may be."""
        names, *figures = (max(map(len, column)) for column in zip(*self._rows, strict=True))
        least = min(names, _LEAST_NAME)
        shown, used = 1, least
        for figure in figures:
            if used + _BETWEEN + figure > width:
                break
            shown, used = shown + 1, used + _BETWEEN + figure
        return shown, max(width - (used - least), 1)
