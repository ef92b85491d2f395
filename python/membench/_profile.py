"""Path → a profile: what a recording left on disk, for analysis, replay or any Arrow library."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from membench import _arguments as check, _native
from membench._hint import Hint
from membench._ledger import Ledger
from membench._observe.observe import ObserveInterval
from membench._observe.tables import INTERVALS, TABLES, StoredRows, from_rows
from membench._results import from_json
from membench._sample import ALL, Sample
from membench._server_run import ServerRun
from membench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Anchor:
    """One moment on two clocks; it places all times of a profile.

    Attributes:
        monotonic_ns: `CLOCK_MONOTONIC`, ns.
        utc_ns: UTC, ns since 1970.
    """

    monotonic_ns: int
    utc_ns: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The contents and the origin of a profile.

    Attributes:
        schema_version: Version of the profile format.
        membench: Version of the membench that wrote the profile.
        state: `recording` (also if the recorder was killed) or `sealed`.
        repaired: True if `repair` sealed the profile.
        source: The source, as the user named it.
        hooks: The kernel hooks in use; None for sources outside the kernel.
        kernel: The kernel's release.
        responses: The part of the responses that was read.
        arrival: True if the arrival of requests was noted, False if it was not to be; None if the
            source does not know it.
        time_basis: The moment that `time` denotes: memcached's `read` returned, the `packet` was
            captured, memcached wrote its `log`, or the client's `send` returned. With `send`,
            server times are the service times that the client saw.
        sampling: Share of the traffic that was kept, 0…1.
        sample: The keys and connections behind that share.
        sampled_out: Events outside the sample, which were left out; None if the recorder was
            killed.
        key_fingerprint: Equal in two profiles if their key ids can be joined.
        anchor: The start of the recording.
        duration_s: Length of the recording, s; up to the last event if the recorder was killed.
        stopped_by: The cause that ended the recording; None while it runs, and if the recorder was
            killed.
        write_error: The first failure to write, if any.
        events: Operations on one key each.
        requests: Requests; a multi-get is one.
        connections: Connections seen; at least so many if the recorder was killed.
        commands: Events by command.
        outcomes: Events by outcome; `unknown` counts those whose response was not seen.
        parts: Files that hold the events.
        bytes: Their size.
        unsealed_events: Events in a part that is not sealed.
        cut_bytes: Bytes of an incomplete batch at the end of that part, which cannot be read.
        ledger: The account of every byte; None if the recorder was killed before it wrote one.
        being_recorded: True if a recorder is writing the profile at this moment.
        server_runs: The processes that served while the recording lasted.
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
    ledger: Ledger | None
    sample: Sample = ALL
    arrival: bool | None = None
    sampled_out: int | None = 0
    being_recorded: bool = False
    server_runs: tuple[ServerRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of comparing every file of a profile with its checksum.

    Attributes:
        files: Files that are as they were written.
        bytes: Their size, but for the manifest's.
        unchecked: Files without a checksum: those of a profile that is not sealed, and all before
            version 4 of the format.
        damaged: Files that are not as they were written, with the difference.
    """

    files: int
    bytes: int
    unchecked: tuple[str, ...]
    damaged: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if no file is damaged."""
        return not self.damaged


class Profile:
    """An open profile, as it was when it was opened.

    Iterate over its events, or hand it to any Arrow library: `polars.DataFrame(profile)`,
    `pyarrow.table(profile)` and `duckdb.sql("FROM profile")` read it without a copy through Python.
    """

    def __init__(self, native: _native.Profile) -> None:
        """Wrap the engine's profile; use `membench.open` instead."""
        self._native = native

    @property
    def path(self) -> Path:
        """The profile's folder."""
        return Path(self._native.path)

    def summary(self) -> Summary:
        """Sum up the contents and the origin; scans the events of a profile that was not sealed.

        Raises:
            ProfileError: The profile is damaged.
        """
        return from_json(Summary, self._native.summary_json())

    def verify(self) -> Verification:
        """Read every file and compare it with its checksum.

        Reading events or a table compares its file as well, and fails if it is damaged.
        """
        return from_json(Verification, self._native.verify_json())

    def manifest(self) -> dict[str, object]:
        """Return the manifest, as it was on disk."""
        manifest: dict[str, object] = json.loads(self._native.manifest_json())
        return manifest

    def connections(self) -> _native.Table:
        """Read the table of connections; empty if the recorder was killed."""
        return self._native.connections()

    def losses(self) -> _native.Table:
        """Read the table of losses; empty if the recorder was killed."""
        return self._native.losses()

    def observation(self, table: str) -> _native.Table:
        """Read a table of the observation beside the recording; empty if there was none.

        Args:
            table: Its name: `observe-intervals`, `observe-parts`, …; docs/profile-format.md has
                their columns.

        Raises:
            UsageError: There is no such table.
        """
        return self._native.observation(check.text("table", table))

    def observed(self) -> Iterator[ObserveInterval]:
        """Yield each interval of the observation beside the recording; none if there was none.

        Slow requests have no client: a profile stores no addresses.
        """
        start = self.summary().anchor.utc_ns // 1000
        stored = {name: StoredRows(self._columns(name)) for name in (INTERVALS, *TABLES)}
        return from_rows(stored[INTERVALS], stored, start)

    def _columns(self, table: str) -> Iterator[dict[str, list[Any]]]:
        for text in self._native.observation_rows(table):
            columns: dict[str, list[Any]] = json.loads(text)
            yield columns

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


def open(path: str | os.PathLike[str]) -> Profile:  # noqa: A001 - `membench.open`, as in `gzip.open`
    """Open a profile, sealed or not.

    Raises:
        ProfileError: The profile is damaged, or a newer membench wrote it.
        UsageError: The path is not a profile.
        CaptureUnavailableError: You may not read it, or the disk fails; see `hint`.
    """
    return Profile(open_native(path))


def repair(path: str | os.PathLike[str]) -> Summary:
    """Seal a profile that a killed recorder left behind; a sealed one stays as it is.

    Raises:
        ProfileError: The profile is damaged beyond its open part.
        UsageError: The profile is still being recorded, or the path is not a profile.
        CaptureUnavailableError: You may not write it, or the disk fails; see `hint`.
    """
    _native.Profile.repair(_existing(path))
    return open(path).summary()


def open_native(profile: Profile | str | os.PathLike[str]) -> _native.Profile:
    """Return the engine's profile: the one behind an open `Profile`, or the one at a path."""
    if isinstance(profile, Profile):
        return profile._native
    return _native.Profile.open(_existing(profile))


def _existing(path: str | os.PathLike[str]) -> Path:
    folder = check.path("profile", path)
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder}: there is no such profile", Hint("`{record}` makes one")
        ) from error
    except OSError:
        pass  # the engine fails in the same way, and knows the remedy
    return folder
