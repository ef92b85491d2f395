//! One interval of an observation.

use std::collections::BTreeMap;

use membench_common::observe::{class, part, state};
use serde::Serialize;

/// Names of the parts of a request's time, by their indices in [`part`]; the whole is none.
pub(crate) const PARTS: [&str; part::WHOLE] = [
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
];

/// Names of the classes of commands, by their indices in [`class`].
pub(crate) const COMMANDS: [&str; class::VERSION + 1] = [
    "other", "get", "store", "delete", "touch", "count", "meta", "stats", "version",
];

/// Names of the states of a worker, by their indices in [`state`].
pub(crate) const STATES: [&str; state::COUNT] = [
    "running",
    "run_queue_woken",
    "run_queue_preempted",
    "idle",
    "lock",
    "page_fault",
    "stopped",
    "kernel_wait",
    "other_sleep",
    "disk",
];

/// One interval of an observation.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// Time from the start of the observation to the end of the interval, s.
    pub elapsed_s: f64,
    /// Length of the interval, s.
    pub interval_s: f64,
    /// The time of the requests that were answered.
    pub account: Account,
    /// Tasks that had the CPU while a worker waited for it, the longest first.
    pub culprits: Vec<Culprit>,
    /// Time that workers waited for a CPU, of the waits that ended in the interval, ns.
    pub waited_ns: u64,
    /// Part of it in waits below 2 µs, which are charged to nobody, ns.
    pub waited_briefly_ns: u64,
    /// Part of it while a task ran that is not known, ns.
    pub waited_for_unknown_ns: u64,
    /// Threads that read requests, the busiest first.
    pub workers: Vec<Worker>,
    /// The account by class of command, the most time first; `None` unless that was asked for.
    pub commands: Option<Vec<Command>>,
    /// Requests by connection; `None` unless that was asked for.
    pub connections: Option<BusyConnections>,
    /// Rare events of TCP at the servers' ports.
    pub tcp_events: TcpEvents,
    /// The longest of the requests that took as long as asked for, the longest first.
    pub slow: Vec<SlowRequest>,
    /// Number of all that took as long; `None` unless a time was asked for.
    pub slow_requests: Option<u64>,
    /// Slow requests that were not looked at, because the ring was full.
    pub slow_unread: u64,
    /// Requests that are not in the account, and why.
    pub misses: Misses,
    /// Time that the programs took for each request, ns; `None` without requests, or if the kernel may not be asked.
    pub cost_ns_per_request: Option<f64>,
    /// Time that the programs took, as a share of one CPU; `None` if the kernel may not be asked.
    pub cpu_share: Option<f64>,
}

/// The time of requests. The parts sum to the whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Account {
    /// Requests.
    pub requests: u64,
    /// Time from the arrival of the requests to their answers, ns.
    pub whole_ns: u64,
    /// Time in each part, ns.
    pub parts_ns: BTreeMap<&'static str, u64>,
    /// Quantiles of each part that any request has, and of the whole.
    pub quantiles: BTreeMap<&'static str, Quantiles>,
}

/// Quantiles of a time over all requests, ns, each within 7 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Half of the requests take less.
    pub p50_ns: u64,
    /// Nine of ten take less.
    pub p90_ns: u64,
    /// All but 1 % take less.
    pub p99_ns: u64,
    /// All but 0.1 % take less.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// The account of one class of commands.
#[derive(Clone, Debug, Serialize)]
pub struct Command {
    /// The class, as far as answers tell; `other` where they do not.
    pub command: &'static str,
    /// The time of its requests.
    pub account: Account,
}

/// Requests by connection.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BusyConnections {
    /// Connections with the most time, the most first.
    pub busiest: Vec<Connection>,
    /// Number of the others that are known.
    pub others: u64,
    /// Requests of all others, also of those that are not known because there are too many.
    pub other_requests: u64,
    /// Time of these requests, ns.
    pub other_whole_ns: u64,
}

/// Requests of a connection.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// The client's address and port.
    pub client: String,
    /// The server's port.
    pub port: u16,
    /// Number of the process of the worker that answered last, as [`Worker::process`].
    pub process: u32,
    /// Number of that worker, as [`Worker::thread`].
    pub thread: u32,
    /// Name of that worker.
    pub name: String,
    /// Requests in the account.
    pub requests: u64,
    /// Time of these requests, ns.
    pub whole_ns: u64,
    /// Time in each part, ns.
    pub parts_ns: BTreeMap<&'static str, u64>,
    /// Quantiles of the whole.
    pub whole: Quantiles,
    /// Bytes that were read for them.
    pub request_bytes: u64,
    /// Bytes of their answers' first sends.
    pub answer_bytes: u64,
    /// Smoothed round-trip time at the last answer, as TCP measures it, ns; 0 before TCP has a measurement.
    pub round_trip_ns: u64,
    /// Segments that the server sent again since the connection began.
    pub retransmits: u32,
}

/// Rare events of TCP at the servers' ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TcpEvents {
    /// Segments that the servers sent again.
    pub retransmits: u64,
    /// Connections that the servers reset.
    pub resets_sent: u64,
    /// Connections that their clients reset.
    pub resets_received: u64,
}

/// A request that took long.
#[derive(Clone, Debug, Serialize)]
pub struct SlowRequest {
    /// Time of its arrival, UTC, ns since 1970.
    pub time_ns: i64,
    /// Time from the start of the observation to its arrival, s.
    pub began_s: f64,
    /// Time from its arrival to its answer, ns.
    pub whole_ns: u64,
    /// Time in each part, ns.
    pub parts_ns: BTreeMap<&'static str, u64>,
    /// The client's address and port.
    pub client: String,
    /// The server's port.
    pub port: u16,
    /// Number of the worker's process, as [`Worker::process`].
    pub process: u32,
    /// Number of the worker, as [`Worker::thread`].
    pub thread: u32,
    /// Name of the worker.
    pub name: String,
    /// The command, or its class, as far as the answer tells.
    pub command: Option<&'static str>,
    /// First word of the answer; `None` if it could not be read, and of the binary protocol.
    pub answer: Option<&'static str>,
    /// Bytes that memcached read for it; of pipelined commands, those of all.
    pub request_bytes: u32,
    /// Bytes of the answer's first send.
    pub answer_bytes: u32,
}

/// A task that had the CPU while a worker waited for it.
#[derive(Clone, Debug, Serialize)]
pub struct Culprit {
    /// Name of the thread; `idle` for a CPU that was coming out of sleep, or that was not given to the worker.
    pub task: String,
    /// Number of the process on the host; 0 for an idle CPU.
    pub process: u32,
    /// Control group (v2); `None` if it is gone, or for an idle CPU.
    pub cgroup: Option<String>,
    /// Time, ns.
    pub time_ns: u64,
    /// Waits.
    pub waits: u64,
    /// Share of the time that workers waited.
    pub share: f64,
}

/// A thread that reads requests.
#[derive(Clone, Debug, Serialize)]
pub struct Worker {
    /// Number of the process; on the host if it lives in another pid namespace than the observer.
    pub process: u32,
    /// Number of the thread, counted as that of the process.
    pub thread: u32,
    /// Name.
    pub name: String,
    /// Requests in the account.
    pub requests: u64,
    /// Time of these requests, ns.
    pub whole_ns: u64,
    /// Time of these requests in each part, ns.
    pub parts_ns: BTreeMap<&'static str, u64>,
    /// Quantiles of each part that any of them has, and of the whole.
    pub quantiles: BTreeMap<&'static str, Quantiles>,
    /// Reads of requests.
    pub reads: u64,
    /// Times at which it was woken from waiting for events.
    pub wake_ups: u64,
    /// Time in each state, ns.
    pub states_ns: BTreeMap<&'static str, u64>,
}

/// Requests that are not in the account, and reads without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Misses {
    /// Runs of the programs that the kernel left out.
    pub runs: u64,
    /// Requests whose read, send or clocks were not seen whole.
    pub broken: u64,
    /// Requests whose arrival was not seen: they were under way when the observation began, mostly.
    pub unseen: u64,
    /// Requests of workers beyond the most that are observed.
    pub unlisted: u64,
    /// Requests that one thread read and another answered.
    pub moved: u64,
    /// Arrivals and reads for which the kernel had no memory.
    pub no_state: u64,
    /// Reads that no answer followed: quiet commands, and all but the last read of a long request. No loss.
    pub unanswered: u64,
    /// Sends that went on with an answer. No loss.
    pub continued: u64,
    /// Switches to a worker of which the kernel did not tell: until its next read or send, it counts as waiting. No loss.
    pub untold_switches: u64,
}
