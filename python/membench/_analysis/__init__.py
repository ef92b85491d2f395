"""Profile → a description of its workload, as frozen dataclasses, in one pass."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from membench import _native
from membench._analysis.items import Keys, Memory, Sizes, Ttl, WorkingSet
from membench._analysis.requests import CommandShare, Connections, Hits, Misses, Requests, Times
from membench._arguments import texts
from membench._profile import Profile, open_native
from membench._results import from_json
from membench._sample import ALL, Sample
from membench._shown import Shown


@dataclass(frozen=True, slots=True)
class Overview:
    """The analyzed recording.

    Attributes:
        name: Name of the profile's folder.
        started_utc_ns: Start of the recording, UTC, ns since 1970.
        duration_s: Length of the recording, s.
        complete: True if every byte is accounted for; None if the profile was not sealed.
        losses: Amount of each loss that is not 0, by its name in the ledger.
        sample: The share of the traffic that was recorded. Counts and rates describe the sample;
            memory is scaled to all keys.
        not_told: Parts of the analysis that a sample cannot show.
    """

    name: str
    started_utc_ns: int | None
    duration_s: float
    complete: bool | None
    losses: dict[str, int]
    sample: Sample = ALL
    not_told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis(Shown):
    """The workload of a profile.

    Parts that were not asked for are None.

    Attributes:
        schema_version: Version of these results' format.
        profile: The recording.
        requests: Rate over time, bursts.
        commands: Share of each command, most frequent first.
        hits: Hit ratio by command and over time.
        misses: Causes of misses.
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

    def _report(self) -> str:
        from membench.report.analysis import render_analysis  # noqa: PLC0415 - only for what is shown
        from membench.report.text import as_text  # noqa: PLC0415 - only for what is shown

        return as_text(render_analysis(self.profile.name, self))

    @property
    def miss_ratio_curve(self) -> tuple[tuple[int, float], ...]:
        """Memory in bytes and the share of reads that miss in it, 0…1, as pairs."""
        points = self.memory.miss_ratio_curve if self.memory else ()
        return tuple((point.bytes, 1 - point.hit_ratio) for point in points)


def analyze(
    profile: Profile | str | os.PathLike[str], *, only: Sequence[str] | None = None
) -> Analysis:
    """Describe the workload of a profile, in one pass over its events.

    Args:
        profile: An open profile, analyzed as it was when it was opened, or a path.
        only: Names of the parts wanted (`keys`, `ttl`, …), which are the attributes of
            `Analysis`; None or empty for all.

    Raises:
        UsageError: A part has no such name, or the path is not a profile.
        ProfileError: The profile is damaged.
        CaptureUnavailableError: You may not read the profile, or the disk fails.
    """
    parts = None if only is None else texts("only", only)
    found = _native.analyze(open_native(profile), only=parts or None)
    return from_json(Analysis, found)
