//! [`ServerStatus`]: a server as a person would name it.

use serde::Serialize;

use crate::selection::listeners::Listener;

/// A server as a person would name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Address or path that it listens at.
    pub listening: String,
    /// Its port.
    pub port: u16,
    /// Its process, if this user may see it.
    pub pid: Option<u32>,
    /// Inode number of its network namespace, unless it is the recorder's own.
    pub network_namespace: Option<u32>,
    /// Its version, as it says itself.
    pub version: Option<String>,
    /// Number of its worker threads.
    pub threads: Option<u64>,
    /// Connections open when it was asked, without ours.
    pub connections: Option<u64>,
}

impl ServerStatus {
    /// Returns what is known of a listener's server without asking it.
    pub(crate) fn of(listener: &Listener) -> Self {
        Self {
            listening: listener.endpoint.to_string(),
            port: listener.endpoint.port(),
            pid: listener.pid,
            network_namespace: (!listener.is_near()).then_some(listener.network_namespace),
            ..Self::default()
        }
    }
}
