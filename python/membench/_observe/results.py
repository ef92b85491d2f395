"""Results of an observation: one dataclass for each thing that an interval holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Parts of a request's time, in the order in which they pass.
PARTS = (
    "wake_up",
    "accept",
    "run_queue_woken",
    "run_queue_preempted",
    "ahead",
    "read",
    "memcached",
    "send",
    "parked",
    "lock",
    "page_fault",
    "disk",
    "stopped",
    "kernel_wait",
    "other_sleep",
    "unexplained",
)


@dataclass(frozen=True, slots=True)
class PartTimes:
    """Quantiles of a time over all requests, ns, each within 7 %."""

    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int


@dataclass(frozen=True, slots=True)
class Account:
    """The time of requests, from the arrival of their bytes to their answer.

    Attributes:
        requests: Requests that were answered.
        whole_ns: Time of all of them, ns.
        parts_ns: Time in each part of `PARTS`, ns; they sum to the whole.
        quantiles: Quantiles of the parts that any request had, and of the `whole`.
    """

    requests: int
    whole_ns: int
    parts_ns: Mapping[str, int]
    quantiles: Mapping[str, PartTimes]

    def share(self, *parts: str) -> float:
        """Return the share of parts in the whole, 0…1."""
        time = sum(self.parts_ns.get(part, 0) for part in parts)
        return time / self.whole_ns if self.whole_ns else 0.0


@dataclass(frozen=True, slots=True)
class Culprit:
    """A task that had the CPU while a worker waited for it.

    Attributes:
        task: Name of its thread; `idle` if the CPU had none.
        process: Its process, numbered as on the host; 0 if the CPU was idle.
        cgroup: Its control group (v2); None if it is gone, or if the CPU was idle.
        time_ns: Time, ns.
        waits: Waits.
        share: Share of the time that workers waited, 0…1.
    """

    task: str
    process: int
    cgroup: str | None
    time_ns: int
    waits: int
    share: float


@dataclass(frozen=True, slots=True)
class Worker:
    """A thread of memcached that reads requests.

    Attributes:
        process: Its process.
        thread: Its number.
        name: Its name.
        requests: Requests that it answered.
        whole_ns: Time of these, ns.
        reads: Reads of requests.
        wake_ups: Times at which it was woken from waiting for events.
        states_ns: Time that it ran, waited for a CPU or slept, by state, ns.
        parts_ns: Time of its requests in each part of `PARTS`, ns; they sum to `whole_ns`.
        quantiles: Quantiles of the parts that any of its requests had, and of the `whole`.
    """

    process: int
    thread: int
    name: str
    requests: int
    whole_ns: int
    reads: int
    wake_ups: int
    states_ns: Mapping[str, int]
    parts_ns: Mapping[str, int] = field(default_factory=dict)
    quantiles: Mapping[str, PartTimes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandRequests:
    """Requests of one class of commands.

    Attributes:
        command: The class, as far as answers tell: `get`, `store`, `delete`, `touch`, `count`,
            `meta`, `stats`, `version`; `other` where they do not.
        account: The time of its requests.
    """

    command: str
    account: Account


@dataclass(frozen=True, slots=True)
class ConnectionRequests:
    """Requests of a connection.

    Attributes:
        client: The client's address and port.
        port: The server's port.
        process: Process of the worker that answered last.
        thread: Number of that worker.
        name: Name of that worker.
        requests: Requests that were answered.
        whole_ns: Time of these, ns.
        parts_ns: Time in each part of `PARTS`, ns; they sum to `whole_ns`.
        whole: Quantiles of the whole.
        request_bytes: Bytes that were read for them.
        answer_bytes: Bytes of their answers' first sends.
        round_trip_ns: Smoothed round-trip time at the last answer, as TCP measures it, ns; 0 before
            it has a measurement.
        retransmits: Segments that the server retransmitted since the connection began.
    """

    client: str
    port: int
    process: int
    thread: int
    name: str
    requests: int
    whole_ns: int
    parts_ns: Mapping[str, int]
    whole: PartTimes
    request_bytes: int
    answer_bytes: int
    round_trip_ns: int
    retransmits: int


@dataclass(frozen=True, slots=True)
class BusyConnections:
    """Requests by connection.

    Attributes:
        busiest: The connections with the most time, the most first; 20 at most.
        others: Number of the others that are known.
        other_requests: Requests of all others.
        other_whole_ns: Time of these, ns.
    """

    busiest: tuple[ConnectionRequests, ...]
    others: int
    other_requests: int
    other_whole_ns: int


@dataclass(frozen=True, slots=True)
class TcpEvents:
    """Rare events of TCP at the servers' ports.

    Attributes:
        retransmits: Segments that the servers retransmitted.
        resets_sent: Connections that the servers reset.
        resets_received: Connections that their clients reset.
    """

    retransmits: int
    resets_sent: int
    resets_received: int


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """A request that took long.

    Attributes:
        time_ns: Time of its arrival, UTC, ns since 1970.
        began_s: Time from the start of the observation to its arrival, s.
        whole_ns: Time from its arrival to its answer, ns.
        parts_ns: Time in each part of `PARTS`, ns; they sum to the whole.
        client: The client's address and port.
        port: The server's port.
        process: Process of the worker that answered it.
        thread: The worker's number.
        name: The worker's name.
        command: The command, or its class, as far as the answer tells: `get`, `store`, `delete`,
            `touch`, `count` (incr, decr), `meta`, `stats`, `version`; of the binary protocol the
            command. None if it does not tell.
        answer: First word of the answer, such as `VALUE`; `number` for a counter. None if it could
            not be read, and of the binary protocol.
        request_bytes: Bytes that memcached read for it; of pipelined commands, those of all.
        answer_bytes: Bytes of the answer's first send.
    """

    time_ns: int
    began_s: float
    whole_ns: int
    parts_ns: Mapping[str, int]
    client: str
    port: int
    process: int
    thread: int
    name: str
    command: str | None
    answer: str | None
    request_bytes: int
    answer_bytes: int


@dataclass(frozen=True, slots=True)
class RequestMisses:
    """Requests that are not in the account; `unseen` and the last three are no losses.

    Attributes:
        runs: Runs of the kernel's programs that the kernel left out.
        broken: Requests whose read, send or clocks were not seen whole.
        unseen: Requests without a known arrival: those under way at the start, and the first
            request of each connection that was open before.
        unlisted: Requests of workers beyond the most that are observed.
        moved: Requests that one thread read and another answered.
        no_state: Arrivals and reads for which the kernel had no memory.
        unanswered: Reads that no answer followed: quiet commands, and all but the last read of a
            long request.
        continued: Sends that went on with an answer.
        untold_switches: Switches to a worker of which the kernel did not tell: until its next read
            or send, it counts as waiting.
    """

    runs: int
    broken: int
    unseen: int
    unlisted: int
    moved: int
    no_state: int
    unanswered: int
    continued: int
    untold_switches: int

    @property
    def lost(self) -> int:
        """Requests that the account should hold, and does not."""
        return self.broken + self.unlisted + self.moved + self.no_state


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests of an interval, as the engine counted them."""

    elapsed_s: float
    interval_s: float
    account: Account
    culprits: tuple[Culprit, ...]
    waited_ns: int
    waited_briefly_ns: int
    waited_for_unknown_ns: int
    workers: tuple[Worker, ...]
    commands: tuple[CommandRequests, ...] | None
    connections: BusyConnections | None
    tcp_events: TcpEvents
    slow: tuple[SlowRequest, ...]
    slow_requests: int | None
    slow_unread: int
    misses: RequestMisses
    cost_ns_per_request: float | None
    cpu_share: float | None


@dataclass(frozen=True, slots=True)
class Host:
    """The machine's part in an interval: steal, throttling, pressure.

    Attributes:
        steal: Share of the CPUs' time that the hypervisor gave to others, 0…1.
        throttled_ns: Time for which the servers' control groups were throttled by their own CPU
            quota, ns: of those that had a server at both ends; None if none that can be read had.
        periods_throttled: Periods of the quota that ended so.
        pressure: Share of the time in which some task waited for `cpu`, `memory` or `io`, 0…1;
            empty if the kernel does not tell (PSI).
        tcp: Growth of the kernel's counters of TCP, by their names in `nstat`, in the network
            namespace of this process: of all sockets.
        reclaims: Direct reclaims: times at which a task had to free memory before it got some; None
            if the kernel does not tell.
    """

    steal: float
    throttled_ns: int | None
    periods_throttled: int
    pressure: Mapping[str, float]
    tcp: Mapping[str, int] = field(default_factory=dict)
    reclaims: int | None = None


@dataclass(frozen=True, slots=True)
class ServerThread:
    """A thread of a server in an interval.

    Attributes:
        thread: Its number.
        name: Its name.
        role: Its work for memcached; `unknown` where its name does not tell.
        cpu_ns: Time that it ran, ns.
        waited_ns: Time that it waited for a CPU, ns.
        sleeps: Times at which it gave the CPU up.
        preemptions: Times at which it lost the CPU.
        minor_faults: Pages that it had to wait for, without a disk.
        major_faults: Pages that came from a disk.
    """

    thread: int
    name: str
    role: str
    cpu_ns: int
    waited_ns: int
    sleeps: int
    preemptions: int
    minor_faults: int
    major_faults: int


@dataclass(frozen=True, slots=True)
class TcpHealth:
    """A server's connections at the end of an interval, as the kernel's socket diagnosis tells.

    Attributes:
        connections: Established connections. The next five are over at most 10,000 of them.
        round_trip_p50_ns: Median of their smoothed round-trip times, ns; 0 without a measurement.
        round_trip_p99_ns: The shortest that 99 % of them do not exceed, ns.
        round_trip_max_ns: The longest, ns.
        least_window: The smallest congestion window, segments; None without a connection.
        retransmits: Segments that the server retransmitted in the interval, on connections that are
            still open.
        unread_bytes: Bytes that wait until memcached reads them.
        unacknowledged_bytes: Bytes of answers that no client has acknowledged.
        accept_queue: Connections that wait until memcached accepts them.
        accept_limit: The most that may wait.
    """

    connections: int
    round_trip_p50_ns: int
    round_trip_p99_ns: int
    round_trip_max_ns: int
    least_window: int | None
    retransmits: int
    unread_bytes: int
    unacknowledged_bytes: int
    accept_queue: int
    accept_limit: int


@dataclass(frozen=True, slots=True)
class ObservedServer:
    """A server in an interval.

    Attributes:
        port: The port on which it listens.
        process: Its process; None if it cannot be told.
        threads: Its threads, the busiest first.
        counters: Growth of its own counters (`stats`); empty if it does not answer.
        tcp: Its connections; None without the kernel's socket diagnosis.
        counted_s: Time between the two answers that `counters` come from, s: on a busy machine not
            that of the interval; None without two answers.
    """

    port: int
    process: int | None
    threads: tuple[ServerThread, ...]
    counters: Mapping[str, int]
    tcp: TcpHealth | None = None
    counted_s: float | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """Figures that cannot be had, and what they would take."""

    what: str
    takes: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cause that stands out.

    Attributes:
        text: The cause in words.
        rule: Name of the rule that found it; see docs/observe.md.
        evidence: The figures that the rule compared.
    """

    text: str
    rule: str
    evidence: Mapping[str, float]
