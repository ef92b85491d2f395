"""Distributions and series, the building blocks of an analysis."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of a histogram: values from `low` to `high`, both included.

    Attributes:
        low: Smallest value of the bin: 0 or a power of two.
        high: Largest value of the bin.
        count: Values in it.
    """

    low: int
    high: int
    count: int


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of a distribution, exact below 2,048 and within 0.1 % above.

    Attributes:
        count: Values seen.
        min: Smallest.
        mean: Arithmetic mean, exact.
        p50: Median.
        p90: 90 % are at most this.
        p95: 95 % are at most this.
        p99: 99 % are at most this.
        p999: 99.9 % are at most this.
        max: Largest.
        log2: A histogram with one bin per power of two.
    """

    count: int
    min: int
    mean: float
    p50: int
    p90: int
    p95: int
    p99: int
    p999: int
    max: int
    log2: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One value per bucket of time, from the start of the recording.

    Attributes:
        bucket_s: Width of a bucket, s.
        values: One value per bucket, None for an empty one; the end of the recording may cut the
            last bucket short.
    """

    bucket_s: float
    values: tuple[float | None, ...]
