//! Processes that served while a recording lasted.

use serde::{Deserialize, Serialize};

/// A server's process, and the part of a recording for which it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerRun {
    /// Address or path that it listened at.
    pub listening: String,
    /// Its port; 0 at a path.
    pub port: u16,
    /// Its process; `None` if it could not be seen.
    pub pid: Option<u32>,
    /// Its version, as it said itself.
    pub version: Option<String>,
    /// Number of its worker threads.
    pub threads: Option<u64>,
    /// Memory that it may use for items (memcached's `-m`), bytes.
    pub memory: Option<u64>,
    /// Time at which it was found, s since the recording began; `None` if it ran before.
    pub began_s: Option<f64>,
    /// Time by which it had ended, s since the recording began; `None` if it still ran at the recording's end.
    pub ended_s: Option<f64>,
}
