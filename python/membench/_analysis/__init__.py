"""One pass over a profile → what it says about the workload, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from membench._analysis.items import Keys, Memory, Sizes, Ttl, WorkingSet
from membench._analysis.requests import CommandShare, Connections, Hits, Misses, Requests, Times
from membench._results import from_json
from membench._sample import ALL, Sample

if TYPE_CHECKING:
    from membench._profile import Profile


@dataclass(frozen=True, slots=True)
class Overview:
    """The recording that was analyzed.

    Attributes:
        name: File name.
        started_utc_ns: When it began, UTC ns since 1970.
        duration_s: How long it took, s.
        complete: Whether every byte is accounted for; none if it was not sealed.
        losses: Each loss that is not 0: its name in the ledger, and how much.
        sample: Which share of the traffic was recorded. Counts and rates are of the sample;
            memory is scaled to all keys.
        not_told: Analyses that the sample cannot tell.
    """

    name: str
    started_utc_ns: int | None
    duration_s: float
    complete: bool | None
    losses: dict[str, int]
    sample: Sample = ALL
    not_told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a profile says about the workload.

    Analyses not asked for are none.

    Attributes:
        schema_version: Version of this form.
        profile: The recording.
        requests: Rate over time, bursts.
        commands: What was asked, most frequent first.
        hits: Hit ratio by command and over time.
        misses: Why reads missed.
        keys: Popularity of keys.
        sizes: Sizes of keys and values.
        ttl: Expiry times.
        connections: Connections, pipelining, batches.
        working_set: Distinct and live keys and bytes.
        memory: Hit ratio by memory size.
        times: Server time and queue time.
    """

    schema_version: int
    profile: Overview
    requests: Requests | None
    commands: tuple[CommandShare, ...] | None
    hits: Hits | None
    misses: Misses | None
    keys: Keys | None
    sizes: Sizes | None
    ttl: Ttl | None
    connections: Connections | None
    working_set: WorkingSet | None
    memory: Memory | None
    times: Times | None

    @property
    def miss_ratio_curve(self) -> tuple[tuple[int, float], ...]:
        """Bytes of memory and the share of reads that miss in that much, as (bytes, 0…1)."""
        points = self.memory.miss_ratio_curve if self.memory else ()
        return tuple((point.bytes, 1 - point.hit_ratio) for point in points)


def analyze(profile: Profile, *, only: Sequence[str] | None = None) -> Analysis:
    """Find out what a profile says about the workload, in one pass.

    Args:
        profile: What to analyze.
        only: Names of the parts wanted (`keys`, `ttl`, …), which are the attributes of
            `Analysis`; None or empty for all.

    Raises:
        UsageError: A part has no such name.
        ProfileError: The profile is damaged.
    """
    from membench import _native  # noqa: PLC0415 - `--help` does not wait for the engine

    return from_json(Analysis, _native.analyze(profile.path, only=list(only) if only else None))
