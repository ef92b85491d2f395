"""Source as typed → what it names, checked against this machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from membench.errors import UsageError

INTERFACES = Path("/sys/class/net")
GRAMMAR = (
    "`ebpf:any` records at the sockets, `ebpf:INTERFACE`, `pcap:INTERFACE` and `FILE.pcap` from "
    "packets, `watch:HOST:PORT` from memcached's own log, `FILE` or `-` from such a log that was "
    "stored"
)
STDIN = "-"
# How a stored log of memcached's may begin; `OK` is the server's answer to `watch`.
_LOG_BEGINNINGS = (b"ts=", b"skipped=", b"OK\r\n", b"OK\n")


class Kind(StrEnum):
    """Where segments can come from."""

    SOCKETS = "ebpf"
    TRAFFIC_CONTROL = "ebpf interface"
    LIBPCAP = "pcap interface"
    FILE = "pcap file"
    WATCH = "watch"
    LOG = "watch file"


CAPTURES = (".pcap", ".pcapng", ".cap")
COMPRESSED = ("", ".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed source.

    Attributes:
        kind: Which way of capturing.
        name: Interface, path (`-`: standard input) or `HOST:PORT`; `any` for the sockets.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        match self.kind:
            case Kind.SOCKETS | Kind.TRAFFIC_CONTROL:
                return f"ebpf:{self.name}"
            case Kind.LIBPCAP:
                return f"pcap:{self.name}"
            case Kind.WATCH:
                return f"watch:{self.name}"
            case Kind.FILE | Kind.LOG:
                return self.name

    @property
    def is_log(self) -> bool:
        """Whether events come from memcached's own log: no packets, no kernel."""
        return self.kind in (Kind.WATCH, Kind.LOG)

    def name_of(self, kind: Kind) -> str | None:
        """The name, if the source is of this kind."""
        return self.name if self.kind is kind else None


def parse(text: str, interfaces: frozenset[str] | None = None) -> Source:
    """Read a source; `interfaces` are this machine's unless given.

    Raises:
        UsageError: It is none of the known forms, or names an interface that does not exist.
    """
    known = list_interfaces() if interfaces is None else interfaces
    if text == STDIN or _is_log(Path(text)):
        return Source(Kind.LOG, text)
    if "/" in text or text.endswith(tuple(one + two for one in CAPTURES for two in COMPRESSED)):
        return Source(Kind.FILE, text)
    scheme, colon, name = text.partition(":")
    match scheme:
        case "ebpf" if colon:
            kind = Kind.SOCKETS if name == "any" else Kind.TRAFFIC_CONTROL
            return Source(kind, _interface(text, name, known))
        case "pcap" if colon:
            return Source(Kind.LIBPCAP, _interface(text, name, known))
        case "watch" if colon:
            return Source(Kind.WATCH, _address(text, name))
    if text in known:
        return Source(Kind.LIBPCAP, text)
    raise UsageError(f"{text!r} is not a source", GRAMMAR)


def list_interfaces() -> frozenset[str]:
    """Name this machine's network interfaces."""
    try:
        return frozenset(entry.name for entry in INTERFACES.iterdir())
    except OSError:
        return frozenset()


def _is_log(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(16).startswith(_LOG_BEGINNINGS)
    except OSError:
        return False


def _interface(text: str, name: str, known: frozenset[str]) -> str:
    if name == "any" or name in known:
        return name
    if not name:
        raise UsageError(f"{text!r} names no interface", GRAMMAR)
    raise UsageError(
        f"{text}: no interface is called {name!r}",
        f"this machine has {', '.join(sorted(known)) or 'none'}",
    )


def _address(text: str, name: str) -> str:
    host, colon, port = name.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise UsageError(
            f"{text!r} is not `watch:HOST:PORT`", "for example `watch:127.0.0.1:11211`"
        )
    return name
