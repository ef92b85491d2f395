"""The parts of an analysis about requests and connections."""

from __future__ import annotations

from dataclasses import dataclass

from membench._analysis.distributions import Quantiles, Series


@dataclass(frozen=True, slots=True)
class Burst:
    """Variance over mean of the number of requests in windows of one width.

    Attributes:
        window_s: Width of the window, s.
        index: 1 for independent (Poisson) arrivals, more for bursts; None with fewer than 10
            windows.
        peak: Most requests in one window.
    """

    window_s: float
    index: float | None
    peak: int


@dataclass(frozen=True, slots=True)
class Requests:
    """Rate of requests and its evenness.

    Attributes:
        count: Requests; a multi-get is one.
        events: Operations on one key; a multi-get of N keys is N.
        mean_per_s: Mean rate over the recording's duration, requests/s.
        peak_per_s: Most requests in one second of the recording, never below the mean (seconds
            counted from its start).
        peak_second: Ordinal of that second.
        rate: Requests/s over time.
        bursts: Burstiness at several time scales.
        interarrival_cv: Standard deviation over mean of the time between requests: 1 for
            independent arrivals, more for bursts.
    """

    count: int
    events: int
    mean_per_s: float | None
    peak_per_s: int
    peak_second: int
    rate: Series
    bursts: tuple[Burst, ...]
    interarrival_cv: float | None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Operations with one outcome.

    Attributes:
        outcome: `hit`, `miss`, `stored`, …
        count: Operations.
    """

    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class CommandShare:
    """One command's share of the requests.

    Attributes:
        command: The verb; a `get` of several keys is `mget`, a `gets` of several `mgets`.
        requests: Requests.
        events: Operations on one key.
        share: Share of all requests, 0…1.
        keys_per_request: Mean keys a request.
        outcomes: Outcomes of its operations; only those that occurred.
        unseen: Operations whose response was not seen.
    """

    command: str
    requests: int
    events: int
    share: float
    keys_per_request: float
    outcomes: tuple[OutcomeCount, ...]
    unseen: int


@dataclass(frozen=True, slots=True)
class HitRatio:
    """Reads and how many of them hit.

    Attributes:
        command: The verb, `mget` for a `get` of several keys; `all` for all.
        reads: Reads whose response was seen.
        hits: Reads that found their item.
        ratio: Hits over reads, 0…1.
        unseen: Reads whose response was not seen; neither `reads` nor `hits` includes them.
    """

    command: str
    reads: int
    hits: int
    ratio: float | None
    unseen: int


@dataclass(frozen=True, slots=True)
class Hits:
    """Hit ratios; a multi-get of N keys is N reads.

    Attributes:
        all: All reading commands together.
        by_command: Each reading command, most reads first.
        over_time: Hit ratio over time; None in buckets without reads.
    """

    all: HitRatio
    by_command: tuple[HitRatio, ...]
    over_time: Series


@dataclass(frozen=True, slots=True)
class Misses:
    """Misses by cause, as far as recorded events prove it.

    Attributes:
        count: All misses.
        first_seen: The key's first use in this recording: never stored, or gone before the start.
        expired: The ttl of the item's last write had elapsed, or would within the server's clock
            tick of 1 s.
        deleted: The item's last write was a delete.
        flushed: A `flush_all` came after the item's last write.
        never_stored: The key was requested before, and no write of it was seen.
        other: The item was stored and should still exist: evicted, or lost in a restart.
    """

    count: int
    first_seen: int
    expired: int
    deleted: int
    flushed: int
    never_stored: int
    other: int


@dataclass(frozen=True, slots=True)
class Connections:
    """Use of connections by clients.

    Attributes:
        count: Connections with at least one request.
        known: Connections known to the recording, idle ones included.
        open_at_start: Known connections that were open before the recording started.
        open_at_end: Known connections still open at its end.
        clients: Distinct client addresses.
        requests: Requests on each connection.
        active_ms: Time from a connection's first to its last request, ms.
        lifetime_ms: Time from open to close of connections opened and closed while recording, ms.
        pipeline_depth: Requests per read of the server: 1 if clients wait for each response.
        pipelined: Share of requests that shared a read with others, 0…1.
        multi_get_keys: Keys of each request with more than one.
        busiest_connection: Share of requests of the busiest connection, 0…1.
        busiest_tenth: Share of requests of the busiest tenth of the connections, 0…1.
        busiest_client: Share of requests of the busiest client address, 0…1.
    """

    count: int
    known: int | None
    open_at_start: int | None
    open_at_end: int | None
    clients: int | None
    requests: Quantiles | None
    active_ms: Quantiles | None
    lifetime_ms: Quantiles | None
    pipeline_depth: Quantiles | None
    pipelined: float | None
    multi_get_keys: Quantiles | None
    busiest_connection: float | None
    busiest_tenth: float | None
    busiest_client: float | None


@dataclass(frozen=True, slots=True)
class CommandTimes:
    """One command's server time.

    Attributes:
        command: The verb; `mget` for a `get` of several keys.
        server_ns: Its server time, ns.
    """

    command: str
    server_ns: Quantiles
    queue_ns: Quantiles | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Times of requests, ns.

    Attributes:
        server_ns: Server time: from the read that completed the request to the send with the last
            byte of its response, ns.
        server_ns_by_command: Server time by command, most requests first.
        queue_ns: Queue time: from arrival to the read, ns; None if the source does not know
            arrivals.
    """

    server_ns: Quantiles | None
    server_ns_by_command: tuple[CommandTimes, ...]
    queue_ns: Quantiles | None
