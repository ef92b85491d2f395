//! A profile → the facts that `info` reports.

use std::collections::BTreeMap;

use serde::Serialize;

use membench_event::{Anchor, Ledger, Sample, ServerRun};

/// Facts that `info` reports about a profile. Its JSON form is `info --format json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Schema version of the profile.
    pub schema_version: u32,
    /// Version of the membench that wrote it.
    pub membench: String,
    /// State of the profile: `recording` (also if the recorder was killed) or `sealed`.
    pub state: &'static str,
    /// True if a recorder is writing the profile at this moment.
    pub being_recorded: bool,
    /// True if `repair` sealed the profile.
    pub repaired: bool,
    /// Source as requested.
    pub source: String,
    /// Kernel hooks that were used; `None` if the source uses none.
    pub hooks: Option<String>,
    /// Kernel release (`uname -r`).
    pub kernel: Option<String>,
    /// Amount of each response that was read (`bytes`, `lengths`, `none`).
    pub responses: Option<String>,
    /// True if the arrival of requests was noted, false if it was not to be; `None` if the source does not know it.
    pub arrival: Option<bool>,
    /// Origin of `time`: `read`, `send`, `packet` or `log`.
    pub time_basis: String,
    /// Share of the traffic recorded, 0…1.
    pub sampling: f64,
    /// Sampling rates of keys and connections, from which `sampling` follows.
    pub sample: Sample,
    /// Events left out because they are not in the sample; `None` unless the recorder ended the recording.
    pub sampled_out: Option<u64>,
    /// Fingerprint of the hashing key: if two profiles share it, their key ids can be joined.
    pub key_fingerprint: Option<String>,
    /// Start of the recording.
    pub anchor: Anchor,
    /// Duration of the recording, s; up to the last event unless the recorder ended the recording.
    pub duration_s: f64,
    /// Reason why the recording ended; `None` while it runs and if it was killed.
    pub stopped_by: Option<String>,
    /// First write error, if any.
    pub write_error: Option<String>,
    /// Events.
    pub events: u64,
    /// Requests; a multi-get counts as one.
    pub requests: u64,
    /// Connections; at least so many unless the recorder ended the recording.
    pub connections: u64,
    /// Events by command.
    pub commands: BTreeMap<String, u64>,
    /// Events by outcome; `unknown` counts events whose outcome was not seen.
    pub outcomes: BTreeMap<String, u64>,
    /// Number of parts.
    pub parts: usize,
    /// Size of the parts, bytes.
    pub bytes: u64,
    /// Events in an open part.
    pub unsealed_events: u64,
    /// Bytes after the unsealed events that a crash cut off.
    pub cut_bytes: u64,
    /// Processes that served while the recording lasted.
    pub server_runs: Vec<ServerRun>,
    /// Account of every byte; `None` unless the recorder ended the recording.
    pub ledger: Option<Ledger>,
}
