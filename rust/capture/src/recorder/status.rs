//! What a running recording says of itself, several times a second.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::{Limits, Pace, Yielding};

/// Where a recording is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Attached; nothing listens on the ports yet.
    #[default]
    Waiting,
    /// Attached to at least one server.
    Recording,
    /// Detaching and sealing.
    Stopping,
    /// Ended.
    Done,
}

/// A server as a person would name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Where it listens.
    pub listening: String,
    /// Its port.
    pub port: u16,
    /// Its process, if this user may see it.
    pub pid: Option<u32>,
    /// Inode number of its network namespace, if that is not the recorder's own.
    pub network_namespace: Option<u32>,
    /// What it says its version is.
    pub version: Option<String>,
    /// Its worker threads.
    pub threads: Option<u64>,
    /// Connections open when it was asked, ours left out.
    pub connections: Option<u64>,
}

/// One look at a recording.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// Since it attached, s.
    pub elapsed_s: f64,
    /// Events so far.
    pub events: u64,
    /// Requests so far: a multi-get is one.
    pub requests: u64,
    /// Events in the last second or so, a second.
    pub events_per_s: f64,
    /// Connections so far.
    pub connections: usize,
    /// Of them, open.
    pub connections_open: usize,
    /// Bytes of the profile.
    pub bytes_written: u64,
    /// Bytes lost, by every cause the kernel programs count.
    pub lost_bytes: u64,
    /// Lines of memcached's log lost, as far as it says.
    pub lost_lines: u64,
    /// Events that were not taken.
    pub user_queue_drops: u64,
    /// CPU time of this process since it attached, s,
    pub cpu_s: f64,
    /// and its share of one CPU in the last second or so.
    pub cpu_share: f64,
    /// How well it kept up in the last two seconds.
    pub pace: Pace,
    /// How it stands back for the machine's own work.
    pub yielding: Yielding,
    /// What ends it by itself.
    pub limits: Limits,
    /// The servers.
    pub servers: Vec<ServerStatus>,
    /// Which hooks.
    pub hooks: Option<&'static str>,
    /// Why the preferred hooks could not be used; `None` if they were.
    pub fallback: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// Where it records.
    pub source: String,
    /// Why it records otherwise than was asked for, if it does.
    pub notice: Option<String>,
    /// What ended it.
    pub stopped_by: Option<String>,
}

/// A status that the recording writes and others read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Status>>);

impl Shared {
    /// The latest look.
    pub(crate) fn get(&self) -> Status {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
