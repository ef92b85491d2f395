"""Parts of a line → lines broken between the parts, not inside them."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

BETWEEN = "   "


class Items:
    """A line of parts, three spaces apart; each part stays whole if a line has room for it."""

    def __init__(self, line: str) -> None:
        """Split a line into its parts."""
        self._items = line.split(BETWEEN)

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Put as many parts on a line as fit."""
        lines = [self._items[0]]
        for item in self._items[1:]:
            longer = lines[-1] + BETWEEN + item
            if len(longer) <= options.max_width:
                lines[-1] = longer
            else:
                lines.append(item)
        yield Text("\n".join(lines))

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        """Return the least and the greatest useful width."""
        longest = max(map(len, self._items))
        whole = len(BETWEEN.join(self._items))
        return Measurement(min(longest, options.max_width), min(whole, options.max_width))
