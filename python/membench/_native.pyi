"""The engine. Use it through the `membench` package."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, final

from membench._observe.options import Options as ObserveOptions
from membench._options import Options, Selection
from membench._probe import Options as ProbeOptions
from membench._replay_options import ReplayOptions
from membench._trace import Options as TraceOptions
from membench.bpf._targets import Words

__all__ = [
    "Batch",
    "BpfLink",
    "BpfMap",
    "BpfMemory",
    "BpfObject",
    "BpfProgram",
    "BpfRing",
    "BpfStatistics",
    "Event",
    "EventIterator",
    "ObservationRows",
    "Observer",
    "Probe",
    "Profile",
    "Recorder",
    "Table",
    "Top",
    "Tracer",
    "__version__",
    "analyze",
    "bpf_links",
    "bpf_maps",
    "bpf_programs",
    "decoded_calls",
    "examples",
    "find_hooks",
    "give_up_for_watching",
    "loss_terms",
    "merge_histograms",
    "open_pinned",
    "probe_ebpf",
    "probe_interface",
    "probe_packets",
    "replay",
    "running_servers",
    "slowest_seconds",
    "source_kind",
    "symbolize",
    "unpin",
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
    def verify_json(self) -> str:
        """Compare every file with its checksum; return the `Verification`."""
    def connections(self) -> Table:
        """Read the table of connections."""
    def losses(self) -> Table:
        """Read the table of losses."""
    def observation(self, table: str) -> Table:
        """Read a table of the observation beside the recording."""
    def observation_rows(self, table: str) -> ObservationRows:
        """Read it as JSON, some thousand rows at a time: an array for each column."""
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
    """A table for any Arrow library."""

    def __len__(self) -> int:
        """Count the rows."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rows as an Arrow stream."""
    def __arrow_c_schema__(self) -> object:
        """Export the schema."""

@final
class ObservationRows(Iterator[str]):
    """Yields rows of a table as JSON."""

    def __iter__(self) -> Self:
        """Return itself."""
    def __next__(self) -> str:
        """Return the next rows."""

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
    def delta_size(self) -> int | None:
        """Digits of the amount of an arithmetic command."""
    @property
    def initial_size(self) -> int | None:
        """Digits of the initial value of a counter."""
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
    @property
    def is_ending(self) -> bool: ...
    def observe(self, rows: str) -> bool: ...
    def end_observation(self) -> None: ...
    def exclude(self, address: str, port: int) -> None: ...
    def result(self) -> str: ...
    def next_event(self, timeout_s: float) -> Event | None: ...
    def next_batch(self, timeout_s: float) -> Batch | None: ...

@final
class Top:
    """A capture that is only counted."""

    def __new__(
        cls,
        sources: list[str],
        options: Options,
        *,
        keys: int,
        remember: bool,
        addresses: bool,
    ) -> Top: ...
    @property
    def is_stored(self) -> bool: ...
    def count(self, timeout_s: float) -> bool: ...
    def count_stored(self, interval_s: float, timeout_s: float) -> bool | None: ...
    def covered_s(self) -> float: ...
    def take(self, limit: int) -> str: ...
    def status(self) -> str: ...
    def name(self, key_id: int) -> bytes | None: ...
    def address(self, client: int) -> str | None: ...
    def stop(self) -> None: ...

@final
class Tracer:
    """System calls as text, as they come."""

    def __new__(cls, options: TraceOptions) -> Tracer: ...
    @property
    def is_ended(self) -> bool: ...
    @property
    def pids(self) -> list[int]: ...
    def next(self, timeout_s: float) -> str: ...
    def take_last(self) -> str: ...
    def timeline(self) -> bytes: ...
    def stop(self) -> str: ...
    def tally(self) -> str: ...
    def totals(self) -> str: ...

def decoded_calls() -> list[tuple[str, str, int]]:
    """List decoded system calls: name, name of the kernel's function, number of arguments."""

def give_up_for_watching() -> None:
    """Give up every privilege of this process but that by which a server's process is found."""

@final
class Observer:
    """Servers whose requests are observed."""

    def __new__(cls, selection: Selection, options: ObserveOptions) -> Observer: ...
    @property
    def ports(self) -> list[int]: ...
    @property
    def began_ns(self) -> int: ...
    @property
    def knows_cost(self) -> bool: ...
    def read_slow(self) -> None: ...
    def timeline(self) -> bytes: ...
    def take(self) -> str: ...
    def detach_requests(self) -> None: ...
    def detach(self) -> None: ...

@final
class Probe:
    """A hook that is observed."""

    def __new__(cls, options: ProbeOptions) -> Probe: ...
    @property
    def hook(self) -> str: ...
    @property
    def functions(self) -> list[str]: ...
    def excess(self) -> float | None: ...
    def take(self) -> str: ...
    def detach(self) -> None: ...
    def folded(self) -> list[str]: ...
    def flame_graph(self) -> bytes: ...

def find_hooks(pattern: str) -> str:
    """Find hooks by a pattern; return them as JSON."""

def symbolize(addresses: list[int], pid: int | None) -> list[str]:
    """Name the functions that a stack's addresses are in, of the kernel without a process."""

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

def running_servers() -> str | None:
    """Describe the memcacheds that run here, with their ports; None if there are none."""

def probe_ebpf() -> str:
    """Load, attach and fire the socket programs; return the `Probe` as JSON."""

def analyze(profile: Profile, *, only: list[str] | None = None) -> str:
    """Return the `Analysis` as JSON."""

def slowest_seconds(profile: Profile, most: int) -> str:
    """Return the seconds with the longest server times, at most this many, as JSON."""

def replay(
    profile: Profile,
    targets: str | list[tuple[str, str]],
    options: ReplayOptions,
    stop: threading.Event | None,
    on_interval: Callable[[str], bool | None] | None,
) -> str:
    """Return the `ReplayResult` as JSON."""

def merge_histograms(runs: str) -> str:
    """Add the histograms of runs, given and returned as JSON."""

@final
class BpfObject:
    """An object: read, loaded or closed."""

    @staticmethod
    def open(path: Path) -> BpfObject:
        """Read an object file."""
    @staticmethod
    def parse(name: str, data: bytes) -> BpfObject:
        """Read an object from memory."""
    @property
    def name(self) -> str:
        """The object's name."""
    @property
    def closed(self) -> bool:
        """True if the object was closed."""
    def programs(self) -> list[tuple[str, str, str]]:
        """List name, type and section of each program."""
    def maps(self) -> list[tuple[str, str, int, int, int]]:
        """List name, type, key size, value size and most entries of each map."""
    def globals(self) -> list[tuple[str, str, int]]:
        """List name, section and size of each global."""
    def types(self) -> bytes | None:
        """Copy the types that the object describes."""
    def global_bytes(self, name: str) -> bytes:
        """Copy a global."""
    def set_global(self, name: str, value: bytes) -> None:
        """Set a global before the object is loaded."""
    def set_max_entries(self, name: str, entries: int) -> None:
        """Set the size of a map before the object is loaded."""
    def load(self, only: list[str] | None) -> None:
        """Make the maps."""
    def load_program(self, name: str, target: Words | None) -> None:
        """Have the verifier check a program."""
    def attach(self, name: str, target: Words) -> BpfLink:
        """Attach a program."""
    def map(self, name: str) -> BpfMap:
        """Open a map."""
    def program_facts(self, name: str) -> dict[str, Any] | None:
        """Return what the kernel tells of a program; None if it is not loaded."""
    def pin_program(self, name: str, path: Path) -> None:
        """Pin a program."""
    def replace(self, name: str, link: BpfLink) -> None:
        """Give a link this program."""
    def close(self) -> None:
        """Unload the object."""

@final
class BpfMap:
    """A map in the kernel."""

    @property
    def closed(self) -> bool:
        """True if the map was closed."""
    def facts(self) -> dict[str, Any]:
        """Return what the kernel tells of the map."""
    def types(self) -> bytes | None:
        """Copy the types of the map's keys and values."""
    def lookup(self, key: bytes) -> bytes | None:
        """Copy the value of a key."""
    def lookup_per_cpu(self, key: bytes) -> list[bytes] | None:
        """Copy the values of a key, one for each possible CPU."""
    def update(self, key: bytes, value: bytes) -> None:
        """Store a value."""
    def update_per_cpu(self, key: bytes, values: list[bytes]) -> None:
        """Store one value for each possible CPU."""
    def delete(self, key: bytes) -> bool:
        """Remove a key; return False if the map lacks it."""
    def keys(self, limit: int) -> list[bytes]:
        """List the keys, at most `limit`."""
    def memory(self) -> BpfMemory:
        """Map the values of an array."""
    def pin(self, path: Path) -> None:
        """Pin the map."""
    def close(self) -> None:
        """Give up the map."""

@final
class BpfMemory:
    """The values of an array in memory."""

    def __len__(self) -> int:
        """Count the values."""
    def read(self, index: int) -> bytes | None:
        """Copy a value; None beyond the last."""
    def close(self) -> None:
        """Unmap the values."""

@final
class BpfRing:
    """A reader of a ring buffer or perf event array."""

    def __new__(cls, source: BpfMap, pages: int | None) -> Self:
        """Open a ring buffer, or with `pages` a perf event array."""
    @property
    def closed(self) -> bool:
        """True if the reader was closed."""
    def read(self, timeout_s: float, limit: int) -> list[bytes]:
        """Return the records that are there, and wait for the first."""
    def descriptors(self) -> list[int]:
        """List the descriptors that become readable with records."""
    def lost(self) -> int | None:
        """Count lost samples of a perf event array; None for ring buffers."""
    def close(self) -> None:
        """Give up the reader."""

@final
class BpfLink:
    """An attached program."""

    @property
    def closed(self) -> bool:
        """True if the link was detached."""
    def detach(self) -> None:
        """Detach the program."""
    def pin(self, path: Path) -> None:
        """Pin the link."""
    def facts(self) -> list[dict[str, Any]]:
        """Return what the kernel tells of the link's parts."""
    def read(self) -> bytes | None:
        """Run the program of an iterator; None if this is no iterator's link."""

@final
class BpfProgram:
    """A program that was pinned."""

    def facts(self) -> dict[str, Any]:
        """Return what the kernel tells of the program."""
    def replace(self, link: BpfLink) -> None:
        """Give a link this program."""
    def close(self) -> None:
        """Give up the program."""

@final
class BpfStatistics:
    """The kernel's counting of runs, until it is closed."""

    def __new__(cls) -> Self:
        """Start counting."""
    def close(self) -> None:
        """Stop counting."""

def bpf_programs() -> list[dict[str, Any]]:
    """List all programs."""

def bpf_maps() -> list[dict[str, Any]]:
    """List all maps."""

def bpf_links() -> list[dict[str, Any]]:
    """List all links."""

def open_pinned(path: Path) -> BpfMap | BpfLink | BpfProgram:
    """Open what is pinned at a path."""

def unpin(path: Path) -> None:
    """Remove a pin."""
