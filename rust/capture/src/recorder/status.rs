//! A running recording → its status, several times a second.

use std::sync::{Arc, Mutex};

use membench_event::ServerRun;
use serde::Serialize;

use crate::recorder::stop::lock;
use crate::server::status::ServerStatus;
use crate::{Ended, Limits, Pace, Yielding};

/// The stage of a recording.
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

/// The state of a recording at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Its stage.
    pub state: State,
    /// Time since it attached, s; of a stored source, the time that it covers so far.
    pub elapsed_s: f64,
    /// Events so far.
    pub events: u64,
    /// Requests so far: a multi-get is one.
    pub requests: u64,
    /// Events per second, since the last status; of a stored source, per second that it covers.
    pub events_per_s: f64,
    /// Connections so far.
    pub connections: u64,
    /// Connections that are open.
    pub connections_open: usize,
    /// Bytes written.
    pub bytes_written: u64,
    /// Bytes lost, whatever the cause.
    pub lost_bytes: u64,
    /// Packets that the capture dropped, that the network had cut up, or that could not be read.
    pub lost_packets: u64,
    /// Lines of memcached's log that were lost, as far as it says.
    pub lost_lines: u64,
    /// Events that a slow consumer did not take.
    pub user_queue_drops: u64,
    /// CPU time of this process since it attached, s.
    pub cpu_s: f64,
    /// Share of one CPU that this process used, since the last status.
    pub cpu_share: f64,
    /// Pace during the last two seconds.
    pub pace: Pace,
    /// Measures by which the process makes way for the machine's own work.
    pub yielding: Yielding,
    /// The guards that apply.
    pub limits: Limits,
    /// The servers.
    pub servers: Vec<ServerStatus>,
    /// Processes that served so far.
    pub server_runs: Vec<ServerRun>,
    /// The memcacheds that run here, in words, while none is recorded.
    pub elsewhere: Option<String>,
    /// The kind of source, as [`SourceSpec::kind`](crate::SourceSpec::kind) names it.
    pub kind: &'static str,
    /// The hooks, for sources that use some.
    pub hooks: Option<&'static str>,
    /// The reason why the preferred hooks could not be used; `None` if they were.
    pub fallback: Option<String>,
    /// The kernel's release, for sources that use hooks.
    pub kernel: Option<String>,
    /// The source, in the form that it is asked for.
    pub source: String,
    /// Something to tell the user: why another source was taken, or what removes our programs by hand.
    pub notice: Option<String>,
    /// The reason for its end; `None` while it records.
    pub ended: Option<Ended>,
}

impl Status {
    /// Leaves out the servers that are not among those that run.
    pub(crate) fn keep_servers(&mut self, running: &[ServerStatus]) {
        self.servers.retain(|one| {
            let is_same = |server: &ServerStatus| {
                server.listening == one.listening && (server.pid == one.pid || server.pid.is_none())
            };
            running.iter().any(is_same)
        });
    }

    /// Replaces listeners by what the servers said of themselves.
    pub(crate) fn name_servers(&mut self, servers: Vec<ServerStatus>) {
        for server in servers {
            let is_same = |known: &&mut ServerStatus| {
                known.listening == server.listening
                    && known.network_namespace == server.network_namespace
                    && (known.pid == server.pid || known.pid.is_none() || server.pid.is_none())
            };
            if let Some(known) = self.servers.iter_mut().find(is_same) {
                *known = server;
            }
        }
    }
}

/// A status that the recording writes and others read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Status>>);

impl Shared {
    /// Returns the latest status.
    pub(crate) fn get(&self) -> Status {
        lock(&self.0).clone()
    }

    /// Changes the status.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut lock(&self.0));
    }
}
