"""Parts of an analysis that are about keys, values and memory."""

from __future__ import annotations

from dataclasses import dataclass

from membench._analysis.distributions import Quantiles, Series


@dataclass(frozen=True, slots=True)
class Zipf:
    """Zipf's exponent alpha: the key of rank r is asked proportionally to r^-alpha.

    Two estimates, because one unlabelled exponent can be 8 % off.

    Attributes:
        alpha_least_squares: Least squares over log rank and log frequency of all ranks, as
            libCacheSim does.
        r2: How well that line fits, 0…1.
        alpha_likelihood: Maximum likelihood for ranks bounded by the number of distinct keys.
    """

    alpha_least_squares: float
    r2: float
    alpha_likelihood: float


@dataclass(frozen=True, slots=True)
class TopShare:
    """Share of uses that the `keys` most popular keys take.

    Attributes:
        keys: How many keys.
        share: Their share of the uses, 0…1.
    """

    keys: int
    share: float


@dataclass(frozen=True, slots=True)
class HotKey:
    """One popular key.

    Attributes:
        key: Its keyed id, 16 hexadecimal digits.
        uses: Uses counted.
        share: Share of the uses, 0…1.
    """

    key: str
    uses: int
    share: float


@dataclass(frozen=True, slots=True)
class Keys:
    """How unequally keys are used.

    Attributes:
        distinct: Distinct keys, in any command.
        counted: What is counted below: `reads`, or `all commands` when nothing was read.
        used: Distinct keys counted.
        uses: Uses counted.
        mean_uses: Uses per key.
        used_once: Share of keys used exactly once, 0…1.
        used_times: Share of keys used exactly 1, 2, 3, … times.
        top: Share of uses that the most popular keys take.
        zipf: Zipf's exponent; none when all keys are used alike.
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
    hottest: tuple[HotKey, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes in bytes.

    None where nothing of the kind was seen.

    Attributes:
        key: Keys, once per operation.
        value_read: Values returned by reads.
        value_written: Values sent by writes.
        value_by_key: Values, once per distinct key whose item was seen: its last known size.
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
    """One ttl and how often it was sent.

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
        at_once: Share that expires at once (negative), 0…1.
        seconds: The others, s.
        beyond_recording: Share of the others that outlasts the recording: their expiry is not
            in it.
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
    """How much is in use.

    Live amounts count what this recording saw stored or read: what was stored before and not
    used since is not in it.

    Attributes:
        keys: Distinct keys.
        bytes: Memory that all their items would take together, bytes.
        live_keys: Items alive at the end: not deleted, not past their ttl, nothing evicted.
        live_bytes: Memory they take, bytes.
        peak_live_bytes: Most memory that live items took at once, bytes: what a cache without
            evictions needs.
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
        hit_ratio: Hit ratio, 0…1, if every read whose last use the recording does not show
            missed.
        hit_ratio_most: Hit ratio, 0…1, if all of those hit.
        byte_hit_ratio: Share of the bytes read that hits (lower bound, as `hit_ratio`), 0…1.
    """

    bytes: int
    hit_ratio: float
    hit_ratio_most: float
    byte_hit_ratio: float


@dataclass(frozen=True, slots=True)
class Knee:
    """Where more memory stops paying.

    Attributes:
        bytes: Memory for items, bytes.
        hit_ratio: Hit ratio there (lower bound), 0…1.
    """

    bytes: int
    hit_ratio: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Hit ratio by memory size.

    One LRU list holds all items; memcached's segmented LRU and slab classes come near. Reads
    are taken as recorded; one that misses in a smaller cache is taken to be followed by a
    write, as clients do.

    Attributes:
        reads: Reads the curve is made of.
        unknown: Share of reads whose item was last used before the recording, 0…1: they hit at
            sizes it cannot tell.
        certain_misses: Share of reads that miss at any size: never stored, deleted, or expired,
            0…1.
        known_to_bytes: Largest size about which the recording says anything, bytes: beyond, the
            curve is flat for lack of knowledge.
        knee: Where more memory stops paying: the point of the curve farthest above the straight
            line to its end.
        nearly_best_bytes: Smallest size within 0.01 of the best hit ratio known, bytes.
        sizes: Hit ratio for powers of two of `-m`, up to the first that holds everything.
        miss_ratio_curve: The curve, eight sizes an octave.
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
