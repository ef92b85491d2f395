//! What a recording came to, in numbers and names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use membench_event::{Ledger, Sample};
use serde::Serialize;

use crate::Pace;

/// One of a server's own counters over the recording, beside what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The server's port; 0 at a path.
    pub port: u16,
    /// The server's path, if it has one.
    pub path: Option<String>,
    /// The counter's name in `stats`.
    pub counter: &'static str,
    /// By how much the server says it grew.
    pub server: u64,
    /// What was recorded between the server's two answers.
    pub recorded: u64,
}

/// What recording cost this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// CPU time of this process since it attached, s.
    pub cpu_s: f64,
    /// The same an event, ns.
    pub ns_per_event: Option<f64>,
    /// Size of the profile, bytes.
    pub bytes_written: u64,
    /// The same an event.
    pub bytes_per_event: Option<f64>,
}

/// A recording that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct Recording {
    /// The profile, if one was written; the last of several.
    pub profile: Option<PathBuf>,
    /// All of them, in order.
    pub profiles: Vec<PathBuf>,
    /// From attaching to detaching, s.
    pub duration_s: f64,
    /// Events.
    pub events: u64,
    /// Requests: a multi-get is one.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Of them, open before the recording.
    pub open_at_start: u64,
    /// Why there is no connection in it, where there is none.
    pub empty: Option<String>,
    /// Events by command.
    pub commands: BTreeMap<&'static str, u64>,
    /// Events by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Which share of the traffic was kept.
    pub sample: Sample,
    /// Events left out as they are not of the sample.
    pub sampled_out: u64,
    /// Where every byte went.
    pub ledger: Ledger,
    /// The servers' own counters beside what was recorded.
    pub differences: Vec<Difference>,
    /// Servers of which there is no such comparison, though it was asked for.
    pub not_compared: u64,
    /// How well it kept up.
    pub pace: Pace,
    /// What it cost.
    pub cost: Cost,
    /// What ended it.
    pub stopped_by: String,
    /// What removes programs of ours that could not be removed, if there are any.
    pub left_behind: Option<String>,
    /// What could not be written, if anything.
    pub write_error: Option<String>,
}
