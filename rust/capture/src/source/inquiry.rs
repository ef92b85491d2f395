//! Servers that are found → their own counters, at the start and at the end of a recording.

use std::time::Duration;

use membench_event::ServerRun;
use serde_json::Value;

use crate::selection::listeners::Listener;
use crate::server::client::{Asking, Comparison as Asked};
use crate::server::difference::Difference;
use crate::server::status::ServerStatus;
use crate::session::Session;
use crate::session::peer::OwnAddresses;
use crate::source::Comparison;

/// Questions to a recording's servers for their counters; none if that is not wanted.
pub(crate) struct Inquiry {
    asking: Asking,
    own: OwnAddresses,
    is_asking: bool,
    /// Number of servers whose answers were handed out.
    answered: usize,
    /// Number of servers whose versions the decoder knows.
    versions_known: usize,
}

/// Servers' answers at the start.
pub(crate) struct Answers {
    /// The servers that had not answered before, as a person would name them.
    pub(crate) servers: Vec<ServerStatus>,
    /// Their counters, for the manifest; `None` if it has them already.
    pub(crate) statistics_start: Option<Value>,
}

impl Inquiry {
    /// Creates an inquiry that has asked nobody yet. Addresses of our connections are added to `own`.
    pub(crate) fn new(own: OwnAddresses, is_asking: bool) -> Self {
        Self {
            asking: Asking::default(),
            own,
            is_asking,
            answered: 0,
            versions_known: 0,
        }
    }

    /// Begins to ask servers; recording continues meanwhile.
    pub(crate) fn ask(&mut self, listeners: Vec<Listener>) {
        if self.is_asking {
            self.asking.start(listeners, self.own.clone());
        }
    }

    /// Takes the answers if they arrive within `patience`.
    pub(crate) fn collect(&mut self, patience: Duration) -> Option<Answers> {
        if !self.asking.collect(patience) {
            return None;
        }
        let servers: Vec<ServerStatus> = self.asking.servers().skip(self.answered).collect();
        self.answered += servers.len();
        let is_new = !servers.is_empty();
        Some(Answers {
            servers,
            statistics_start: is_new.then(|| self.asking.statistics_start()),
        })
    }

    /// Returns what the server behind a listener said of itself.
    pub(crate) fn about(&self, listener: &Listener) -> Option<ServerRun> {
        self.asking.about(listener)
    }

    /// Passes the servers' versions to the decoder, because versions parse refused lines differently. A version belongs to
    /// a server once the session has seen the recorder's own connection to it.
    pub(crate) fn teach(&mut self, session: &mut Session) {
        if self.versions_known == self.asking.count() {
            return;
        }
        let versions = self.asking.versions(session.sockets());
        self.versions_known = versions.len();
        for (server, version) in versions {
            session.decoder.learn_version(server, &version);
        }
    }

    /// Begins to ask the same servers again; false if there are none to ask.
    pub(crate) fn ask_again(&mut self) -> bool {
        if self.is_asking {
            self.asking.end();
        }
        self.is_asking
    }

    /// Waits for the last answers; true once they are there.
    pub(crate) fn has_answered(&mut self, patience: Duration) -> bool {
        self.asking.collect(patience)
    }

    /// The servers' counters at the end, for the manifest.
    pub(crate) fn statistics_end(&self) -> Value {
        self.asking.statistics_end()
    }

    /// Puts the servers' counters beside what the session saw between their two answers.
    pub(crate) fn compare(&self, session: &Session) -> Comparison {
        let compared = self.asking.compare(session);
        let valid = compared.iter().filter(|one| !one.is_reset);
        let reset = compared.len() - valid.clone().count();
        let differences = valid.flat_map(|of| {
            let difference = |counter, server, recorded| Difference {
                port: of.port,
                path: of.path.clone(),
                counter,
                server,
                recorded,
            };
            [
                difference("bytes_read", of.bytes_read, of.request_bytes),
                difference("bytes_written", of.bytes_written, of.response_bytes),
            ]
        });
        let servers = session.sockets().servers().len();
        Comparison {
            statistics_end: self.statistics_end(),
            differences: differences.collect(),
            uncompared: servers.saturating_sub(compared.len()) as u64,
            reset: reset as u64,
            unseen: compared.iter().map(Asked::unseen).sum(),
        }
    }
}
