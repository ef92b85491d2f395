"""Source as typed → its kind; this machine's interfaces."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from membench import _arguments as check

INTERFACES = Path("/sys/class/net")


class SourceKind(StrEnum):
    """The kinds of sources."""

    SOCKETS = "sockets"
    INTERFACE = "interface"
    LIBPCAP = "libpcap"
    FILE = "file"
    WATCH = "watch"
    LOG = "log"

    @property
    def is_log(self) -> bool:
        """True if events come from memcached's own log: no packets, no kernel."""
        return self in (SourceKind.WATCH, SourceKind.LOG)


def kind_of(source: str) -> SourceKind:
    """Return the kind of a source, which is checked against this machine.

    Raises:
        UsageError: It is none of the known forms, or names an interface that does not exist.
    """
    from membench import _native  # noqa: PLC0415 - importing membench stays quick

    return SourceKind(_native.source_kind(check.text("source", source)))


def list_interfaces() -> frozenset[str]:
    """Name this machine's network interfaces."""
    try:
        return frozenset(entry.name for entry in INTERFACES.iterdir())
    except OSError:
        return frozenset()
