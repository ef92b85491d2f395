"""The parts of an analysis about keys, values and memory."""

from __future__ import annotations

from dataclasses import dataclass

from membench._analysis.distributions import Quantiles, Series


@dataclass(frozen=True, slots=True)
class Zipf:
    """Zipf's exponent alpha: the key of rank r is requested in proportion to r^-alpha.

    Two estimates, because methods differ by up to 8 %.

    Attributes:
        alpha_least_squares: Least squares over log rank and log frequency of all ranks, as
            libCacheSim does.
        r2: Quality of that line's fit, 0…1.
        alpha_likelihood: Maximum likelihood for ranks bounded by the number of distinct keys.
    """

    alpha_least_squares: float
    r2: float
    alpha_likelihood: float


@dataclass(frozen=True, slots=True)
class TopShare:
    """Share of the uses that go to the most popular keys.

    Attributes:
        keys: Number of keys, the most popular ones.
        share: Their share of the uses, 0…1.
    """

    keys: int
    share: float


@dataclass(frozen=True, slots=True)
class PopularKey:
    """One popular key of a profile.

    Attributes:
        key: Keyed id, 16 hexadecimal digits.
        uses: Uses counted.
        share: Share of the uses, 0…1.
    """

    key: str
    uses: int
    share: float


@dataclass(frozen=True, slots=True)
class Keys:
    """Popularity of keys.

    Attributes:
        distinct: Distinct keys, in any command.
        counted: The uses counted below: `reads`, or `all commands` if nothing was read.
        used: Distinct keys counted.
        uses: Uses counted.
        mean_uses: Uses per key.
        used_once: Share of keys used exactly once, 0…1.
        used_times: Share of keys used exactly 1, 2, 3, … times.
        top: Share of the uses that go to the most popular keys.
        zipf: Zipf's exponent; None if all keys are used equally often.
        hottest: The most popular keys.
    """

    distinct: int
    counted: str
    used: int
    uses: int
    mean_uses: float | None
    used_once: float | None
    used_times: tuple[float, ...]
    top: tuple[TopShare, ...]
    zipf: Zipf | None
    hottest: tuple[PopularKey, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes in bytes; None if nothing of the kind was seen.

    Attributes:
        key: Keys, once per operation.
        value_read: Values returned by reads.
        value_written: Values sent by writes.
        value_by_key: Last known value size of each distinct key whose item was seen.
        read_bytes: Bytes of values returned.
        written_bytes: Bytes of values sent.
    """

    key: Quantiles | None
    value_read: Quantiles | None
    value_written: Quantiles | None
    value_by_key: Quantiles | None
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class CommonTtl:
    """One ttl and its share.

    Attributes:
        seconds: The ttl, s.
        share: Share of the commands that set an expiry, 0…1.
    """

    seconds: int
    share: float


@dataclass(frozen=True, slots=True)
class Ttl:
    """Expiry times as sent by writes and touches.

    Attributes:
        count: Commands that set an expiry.
        never: Share that never expires (ttl 0), 0…1.
        at_once: Share that expires at once (negative ttl), 0…1.
        seconds: The other ttls, s.
        beyond_recording: Share of the other ttls that outlast the recording, 0…1: it does not
            show their expiry.
        common: Most frequent ttls.
    """

    count: int
    never: float | None
    at_once: float | None
    seconds: Quantiles | None
    beyond_recording: float | None
    common: tuple[CommonTtl, ...]


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """Keys and memory in use.

    Only items that the recording saw stored or read count: an item that was stored before and not
    used since is unknown.

    Attributes:
        keys: Distinct keys.
        bytes: Memory that all their items would take together, bytes.
        live_keys: Items alive at the end: neither deleted nor past their ttl, assuming no
            evictions.
        live_bytes: Memory that these items take, bytes.
        peak_live_bytes: Most memory that live items took at once, bytes: the need of a cache
            without evictions.
        keys_over_time: Distinct keys so far, over time.
        bytes_over_time: Memory of the keys so far, over time, bytes.
        live_bytes_over_time: Memory of the live items, over time, bytes.
    """

    keys: int
    bytes: int
    live_keys: int
    live_bytes: int
    peak_live_bytes: int
    keys_over_time: Series
    bytes_over_time: Series
    live_bytes_over_time: Series


@dataclass(frozen=True, slots=True)
class Point:
    """Hit ratio at one size.

    Attributes:
        bytes: Memory for items, bytes.
        hit_ratio: Lower bound of the hit ratio, 0…1: every read whose item was last used before
            the recording counts as a miss.
        hit_ratio_most: Upper bound of the hit ratio, 0…1: these reads count as hits.
        byte_hit_ratio: Lower bound of the share of bytes read that hits, 0…1.
    """

    bytes: int
    hit_ratio: float
    hit_ratio_most: float
    byte_hit_ratio: float


@dataclass(frozen=True, slots=True)
class Knee:
    """The size beyond which more memory gains little.

    Attributes:
        bytes: Memory for items, bytes.
        hit_ratio: Hit ratio there (lower bound), 0…1.
    """

    bytes: int
    hit_ratio: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Hit ratio by memory size.

    The model is one LRU list that holds all items; memcached's segmented LRU with slab classes
    comes near it. Reads are taken as recorded. A read that misses in a smaller cache is assumed to
    be followed by a write, as clients do.

    Attributes:
        reads: Reads behind the curve.
        unknown: Share of reads whose item was last used before the recording, 0…1; the size at
            which they hit is unknown.
        certain_misses: Share of reads that miss at any size, 0…1: never stored, deleted or
            expired.
        known_to_bytes: Largest size that the recording can judge, bytes; the curve is flat beyond
            it.
        knee: The point of the curve farthest above the straight line from the origin to its end.
        nearly_best_bytes: Smallest size within 0.01 of the best hit ratio known, bytes.
        sizes: Hit ratio for powers of two of `-m`, up to the first that holds everything.
        miss_ratio_curve: The curve, eight sizes per octave.
        reuse_distance_keys: Distinct keys used between two uses of a key, itself included.
    """

    reads: int
    unknown: float | None
    certain_misses: float | None
    known_to_bytes: int
    knee: Knee | None
    nearly_best_bytes: int | None
    sizes: tuple[Point, ...]
    miss_ratio_curve: tuple[Point, ...]
    reuse_distance_keys: Quantiles | None
