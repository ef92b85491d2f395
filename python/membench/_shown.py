"""Results that read as their report: as text, and in a notebook."""

from __future__ import annotations

import html


class Shown:
    """A result whose `str` is its report, and which a notebook shows so; `repr` has every field."""

    __slots__ = ()

    def _report(self) -> str:
        """Return the report as text."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Return the report that the command prints."""
        from membench.report.plain import plain  # noqa: PLC0415 - only for what is shown

        return plain(self._report(), keep="\n")

    def _repr_html_(self) -> str:
        """Return the report for a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"
