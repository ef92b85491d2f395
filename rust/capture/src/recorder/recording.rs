//! The result of a recording.

use std::collections::BTreeMap;
use std::path::PathBuf;

use membench_event::{Ledger, Reads, Sample, ServerRun, ratio};
use serde::Serialize;

use crate::recorder::tally::Tally;
use crate::server::difference::Difference;
use crate::{Ended, Pace};

/// The cost of a recording to this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// CPU time of this process since it attached, s.
    pub cpu_s: f64,
    /// CPU time per event, ns.
    pub ns_per_event: Option<f64>,
    /// Size of the profiles, bytes.
    pub bytes_written: u64,
    /// Size of the profiles per event, bytes.
    pub bytes_per_event: Option<f64>,
}

impl Cost {
    pub(crate) fn new(tally: &Tally, cpu_s: f64, bytes_written: u64) -> Self {
        let events = tally.events();
        Self {
            cpu_s,
            ns_per_event: (events > 0).then(|| cpu_s * 1e9 / ratio(events, 1)),
            bytes_written,
            bytes_per_event: (events > 0).then(|| ratio(bytes_written, events)),
        }
    }
}

/// A recording that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct Recording {
    /// The last profile, if any was written.
    pub profile: Option<PathBuf>,
    /// Every profile, in order.
    pub profiles: Vec<PathBuf>,
    /// Time from attaching to detaching, s; of a stored source, the time it covers.
    pub duration_s: f64,
    /// Events.
    pub events: u64,
    /// Requests: a multi-get is one.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Connections that were open before the recording.
    pub open_at_start: u64,
    /// Connections that were opened and closed without a byte.
    pub silent_connections: u64,
    /// The reason why no connection was recorded, if none was.
    pub why_empty: Option<String>,
    /// True if there was nothing to record: no server, and no packet of the ports.
    pub nothing_found: bool,
    /// Processes that served while the recording lasted.
    pub server_runs: Vec<ServerRun>,
    /// Profiles of earlier recordings that have the name of a rotated one and were left alone.
    pub others: Vec<PathBuf>,
    /// Events by command.
    pub commands: BTreeMap<&'static str, u64>,
    /// Events by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Keys looked up, by result.
    pub reads: Reads,
    /// The share of the traffic that was kept.
    pub sample: Sample,
    /// Events left out, as they are not of the sample.
    pub sampled_out: u64,
    /// The ledger of every byte.
    pub ledger: Ledger,
    /// The servers' own counters beside what was recorded.
    pub differences: Vec<Difference>,
    /// Number of servers without such a comparison, though it was asked for.
    pub uncompared: u64,
    /// Number of servers whose counters were set to 0 meanwhile (`stats reset`), so that they are not compared.
    pub counters_reset: u64,
    /// Measures of how well the recorder kept up.
    pub pace: Pace,
    /// Its cost.
    pub cost: Cost,
    /// The reason for its end.
    pub ended: Ended,
    /// The shell command that removes programs of ours, if they could not be removed.
    pub removal: Option<String>,
    /// The first failure to write, if any.
    pub write_error: Option<String>,
}
