"""A remedy → its words for the command line and for the library."""

from __future__ import annotations

from dataclasses import dataclass

# Name in a template → flag or command in a shell, keyword or function in Python.
WORDS = {
    "across_hosts": ("--across-hosts", "across_hosts=True"),
    "force": ("--force", "force=True"),
    "requests": ("--requests", "requests=True"),
    "observe_requests": ("--observe=requests", 'observe="requests"'),
    "observe": ("membench observe", "membench.observe()"),
    "events": ("--events", "events=True"),
    "record": ("membench record", "membench.record()"),
}


@dataclass(frozen=True, slots=True)
class Hint:
    """A remedy that names options and commands as facts.

    `Hint("`{force}` replaces it")` reads "`--force` replaces it" in a shell and "`force=True`
    replaces it" in Python.

    Attributes:
        template: The text; each name in braces is a key of `WORDS`.
    """

    template: str

    def for_command_line(self) -> str:
        """Word the remedy with flags and commands."""
        return self.template.format_map({name: shell for name, (shell, _) in WORDS.items()})

    def for_library(self) -> str:
        """Word the remedy with keywords and functions."""
        return self.template.format_map({name: python for name, (_, python) in WORDS.items()})
