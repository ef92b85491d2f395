"""Profiles: what a recording left on disk, opened for analysis, replay or any Arrow library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from membench import _native
from membench._results import from_json
from membench.errors import UsageError
from membench._ledger import Ledger
from membench._sample import ALL, Sample

if TYPE_CHECKING:
    from os import PathLike


@dataclass(frozen=True, slots=True)
class Anchor:
    """The moment by which all times of a profile are placed, on two clocks, ns."""

    monotonic_ns: int
    utc_ns: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a profile holds and how it came about.

    Attributes:
        schema_version: Version of the profile's form.
        membench: Version of the membench that wrote it.
        state: `recording` (also when the recorder was killed) or `sealed`.
        repaired: Whether `repair` sealed it.
        source: What was recorded, as it was asked for.
        hooks: How the kernel was asked, for kernel sources.
        kernel: The kernel's release.
        responses: How much of the responses was read.
        time_basis: What `time` is: the return of memcached's `read`, the time of a `packet`, when
            memcached wrote its `log`, or the return of a client's `send`; `server_time` is then
            what the client saw.
        sampling: Share of the traffic followed.
        sample: Of what it is a share.
        sampled_out: Events left out as they are not of the sample.
        key_fingerprint: Equal in two profiles when their key ids can be joined.
        anchor: When the recording started.
        duration_s: How long was recorded, seconds.
        stopped_by: What ended the recording.
        write_error: The first failure to write, if any.
        events: Operations on one key each.
        requests: Requests; a multi-get is one.
        connections: Connections seen.
        commands: Events by command.
        outcomes: Events by outcome; `unknown` counts those not seen.
        parts: Files that hold the events.
        bytes: Their size.
        unsealed_events: Events in a part that is not sealed.
        cut_bytes: Bytes behind them that a crash cut.
        ledger: Where every byte went.
    """

    schema_version: int
    membench: str
    state: str
    repaired: bool
    source: str
    hooks: str | None
    kernel: str | None
    responses: str | None
    time_basis: str
    sampling: float
    key_fingerprint: str | None
    anchor: Anchor
    duration_s: float
    stopped_by: str | None
    write_error: str | None
    events: int
    requests: int
    connections: int
    commands: dict[str, int]
    outcomes: dict[str, int]
    parts: int
    bytes: int
    unsealed_events: int
    cut_bytes: int
    ledger: Ledger
    sample: Sample = ALL
    sampled_out: int = 0


class Profile:
    """A profile that was opened: iterate over its events, or hand it to any Arrow library.

    `polars.DataFrame(profile)`, `pyarrow.table(profile)` and `duckdb.sql("FROM profile")` read it
    without a copy through Python.
    """

    def __init__(self, native: _native.Profile) -> None:
        """Wrap the engine's profile; use `membench.open` instead."""
        self._native = native

    @property
    def native(self) -> _native.Profile:
        """The engine's profile."""
        return self._native

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self._native.path)

    @property
    def info(self) -> Summary:
        """What it holds and how it came about."""
        return from_json(Summary, self.info_json)

    @property
    def info_json(self) -> str:
        """The same as JSON, as `membench info --format json` prints it."""
        return self._native.info_json()

    @property
    def manifest(self) -> dict[str, object]:
        """The manifest, as it is on disk."""
        manifest: dict[str, object] = json.loads(self._native.manifest_json())
        return manifest

    @property
    def connections(self) -> _native.Table:
        """The connections, as a table for any Arrow library; empty if the recorder was killed."""
        return self._native.connections()

    @property
    def losses(self) -> _native.Table:
        """The losses, as a table for any Arrow library; empty if the recorder was killed."""
        return self._native.losses()

    def __len__(self) -> int:
        """Count the events."""
        return len(self._native)

    def __iter__(self) -> Iterator[_native.Event]:
        """Yield every event by time, connection, batch and request."""
        return iter(self._native)

    def __repr__(self) -> str:
        """Name the profile."""
        return f"<membench.Profile {str(self.path)!r}, {len(self):,} events>"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the events, part by part, as an Arrow stream."""
        return self._native.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        """Export the events' schema."""
        return self._native.__arrow_c_schema__()


def open(path: str | PathLike[str]) -> Profile:  # noqa: A001 - `membench.open`, as in `gzip.open`
    """Open a profile, sealed or not.

    Raises:
        ProfileError: It is damaged, or a newer membench wrote it.
        UsageError: What is there is no profile.
    """
    return Profile(_native.Profile.open(_existing(path)))


def repair(path: str | PathLike[str]) -> Summary:
    """Seal a profile that a killed recorder left behind; a sealed one stays as it is.

    Raises:
        ProfileError: It is damaged beyond its open part.
        UsageError: It is still being recorded, or is no profile.
    """
    _native.Profile.repair(_existing(path))
    return open(path).info


def _existing(path: str | PathLike[str]) -> Path:
    folder = Path(path)
    if not folder.exists():
        raise UsageError(f"{folder}: there is no such profile", "`membench record` makes one")
    return folder
