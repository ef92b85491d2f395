"""The engine. Use it through the `membench` package."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, final

from membench._options import Options

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
    "examples",
    "loss_terms",
    "probe_ebpf",
    "probe_interface",
    "probe_packets",
    "replay",
    "source_kind",
]

__version__: str

@final
class Profile:
    """An open profile, as it was when it was opened."""

    @staticmethod
    def open(path: Path) -> Profile:
        """Open a profile, sealed or not."""
    @staticmethod
    def repair(path: Path) -> str:
        """Seal a profile that a killed recorder left; return the manifest as JSON."""
    @property
    def path(self) -> Path:
        """The profile's folder."""
    def manifest_json(self) -> str:
        """Return the manifest."""
    def summary_json(self) -> str:
        """Return the `Summary`."""
    def connections(self) -> Table:
        """Read the table of connections."""
    def losses(self) -> Table:
        """Read the table of losses."""
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
    """One operation on one key; None if a value does not apply or was not seen.

    The attributes are the columns of a profile, with units in the names of times.
    """

    @property
    def time_us(self) -> int:
        """Moment at which the server read it, µs since 1970, UTC."""
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
        """Bytes of the value that was stored, or returned on a hit."""
    @property
    def request_size(self) -> int | None:
        """Bytes of the request, on the request's first event only."""
    @property
    def ttl(self) -> int | None:
        """Expiry as sent, s; 0 never expires."""
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
        """`hit`, `miss`, `stored`, …; see the profile format."""
    @property
    def server_time_ns(self) -> int | None:
        """From the read that completed the request to the send with its answer, ns."""
    @property
    def queue_time_us(self) -> int | None:
        """From arrival to the read, µs."""

@final
class Batch:
    """Events as columns, for any Arrow library."""

    def __len__(self) -> int:
        """Count the events."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the events as an Arrow stream."""

@final
class Recorder:
    """A capture on its own thread."""

    def __new__(cls, sources: list[str], options: Options) -> Recorder: ...
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

    def __new__(cls, sources: list[str], options: Options, *, keys: int, remember: bool) -> Top: ...
    @property
    def is_stored(self) -> bool: ...
    def count(self, timeout_s: float) -> bool: ...
    def count_stored(self, interval_s: float, timeout_s: float) -> bool | None: ...
    def covered_s(self) -> float: ...
    def take(self, limit: int) -> str: ...
    def status(self) -> str: ...
    def name(self, key_id: int) -> bytes | None: ...
    def stop(self) -> None: ...

def source_kind(text: str) -> str:
    """Parse a source; return its kind, one of `membench.SourceKind`."""

def examples() -> str:
    """Return an example of each result that has no plain struct, with every field, as JSON."""

def loss_terms() -> list[str]:
    """Name every loss term of a ledger."""

def probe_packets(interface: str) -> str:
    """Open an interface through libpcap; return the `Probe` as JSON."""

def probe_interface() -> str:
    """Attach programs to the loopback interface and fire them; return the `Probe` as JSON."""

def probe_ebpf() -> str:
    """Load, attach and fire the socket programs; return the `Probe` as JSON."""

def analyze(profile: Profile, *, only: list[str] | None = None) -> str:
    """Return the `Analysis` as JSON."""

def replay(
    profile: Profile,
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
) -> str:
    """Return the `ReplayResult` as JSON."""
