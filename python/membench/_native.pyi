"""The engine. Use it through the `membench` package."""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Self, final

from membench._arguments import Options

__all__ = [
    "Batch",
    "Event",
    "EventIterator",
    "Profile",
    "Recorder",
    "Table",
    "Top",
    "__version__",
    "analyze",
    "probe_ebpf",
    "probe_interface",
    "probe_packets",
    "replay",
    "source_kind",
]

__version__: str

@final
class Profile:
    """A profile on disk, opened."""

    @staticmethod
    def open(path: Path) -> Profile:
        """Open a profile, sealed or not."""
    @staticmethod
    def repair(path: Path) -> str:
        """Seal what a killed recorder left; return the manifest as JSON."""
    @property
    def path(self) -> Path:
        """Where it is."""
    def manifest_json(self) -> str:
        """Return the manifest."""
    def info_json(self) -> str:
        """Return what `info` says of it."""
    def connections(self) -> Table:
        """Return the connections."""
    def losses(self) -> Table:
        """Return the losses."""
    def __len__(self) -> int:
        """Count the events."""
    def __iter__(self) -> EventIterator:
        """Yield every event in order."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the events as an Arrow stream."""
    def __arrow_c_schema__(self) -> object:
        """Export the events' schema."""

@final
class Table:
    """A small table for any Arrow library."""

    def __len__(self) -> int:
        """Count the rows."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rows as an Arrow stream."""
    def __arrow_c_schema__(self) -> object:
        """Export the schema."""

@final
class EventIterator(Iterator[Event]):
    """Yields events in order."""

    def __iter__(self) -> Self:
        """Return itself."""
    def __next__(self) -> Event:
        """Return the next event."""

@final
class Event:
    """One operation on one key; None where something does not apply or was not seen."""

    @property
    def time(self) -> int:
        """When the server read it, µs since 1970 UTC."""
    @property
    def connection(self) -> int:
        """Ordinal of its connection."""
    @property
    def batch(self) -> int:
        """Ordinal, on its connection, of the server's read in which its request starts."""
    @property
    def request(self) -> int:
        """Ordinal of its request on its connection."""
    @property
    def command(self) -> str:
        """The verb, as memcached names it."""
    @property
    def protocol(self) -> str:
        """`text`, `meta` or `binary`."""
    @property
    def key(self) -> int | None:
        """Keyed id of the key."""
    @property
    def key_size(self) -> int | None:
        """Bytes of the key."""
    @property
    def value_size(self) -> int | None:
        """Bytes of the value stored, or returned on a hit."""
    @property
    def request_size(self) -> int | None:
        """Bytes of the request, on its first event only."""
    @property
    def ttl(self) -> int | None:
        """Expiry, s."""
    @property
    def flags(self) -> int | None:
        """Client flags."""
    @property
    def cas(self) -> int | None:
        """Ordinal of the cas value."""
    @property
    def delta(self) -> int | None:
        """Amount of an arithmetic command."""
    @property
    def initial(self) -> int | None:
        """Initial value of a meta arithmetic command."""
    @property
    def vivify_ttl(self) -> int | None:
        """Expiry of a vivified item, s."""
    @property
    def recache_ttl(self) -> int | None:
        """Remaining expiry below which to recache, s."""
    @property
    def opaque_size(self) -> int | None:
        """Bytes of the opaque token."""
    @property
    def options(self) -> str:
        """Canonical flag letters and modes."""
    @property
    def outcome(self) -> str | None:
        """How it ended."""
    @property
    def server_time(self) -> int | None:
        """From the read that completed it to the send that answered it, ns."""
    @property
    def queue_time(self) -> int | None:
        """From arrival to read, µs."""

@final
class Batch:
    """Events as columns; Polars, DuckDB, pandas and pyarrow read it."""

    def __len__(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Recorder:
    """A capture on its own thread."""

    def __new__(cls, source: str, options: Options) -> Recorder: ...
    @property
    def done(self) -> bool: ...
    def status(self) -> str: ...
    def wait(self, timeout_s: float) -> bool: ...
    def stop(self, reason: str) -> None: ...
    def result(self) -> str: ...
    def next_event(self, timeout_s: float) -> Event | None: ...
    def next_batch(self, timeout_s: float) -> Batch | None: ...

@final
class Top:
    """A capture that is only counted."""

    def __new__(cls, source: str, options: Options, *, keys: int, remember: bool) -> Top: ...
    def count(self, timeout_s: float) -> bool: ...
    def take(self, limit: int) -> str: ...
    def status(self) -> str: ...
    def name(self, key_id: int) -> bytes | None: ...
    def stop(self) -> None: ...

def source_kind(text: str) -> str:
    """Parse a source; return its kind, one of `membench.sources.Kind`."""

def probe_packets(interface: str) -> str:
    """Try to open an interface through libpcap; JSON with what works and the remedy."""

def probe_interface() -> str:
    """Try programs of ours at the loopback interface; JSON as of `probe_ebpf`."""

def probe_ebpf() -> str:
    """Try to load, attach and fire the socket programs; JSON with what works and the remedy."""

def analyze(path: str | PathLike[str], *, only: list[str] | None = None) -> str: ...
def replay(
    path: str | PathLike[str],
    target: str,
    *,
    pacing: str,
    warm: bool,
    allow_nonempty: bool,
    allow_admin: bool,
    allow_sampled: bool,
    seed: int,
    receive_stamps: bool,
    threads: int,
    on_interval: Callable[[str], bool | None] | None,
) -> str: ...
