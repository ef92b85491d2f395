//! Servers → their own counters at the start and the end of a recording, asked for on a thread of its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::recorder::status::ServerStatus;
use crate::selection::listeners::Listener;
use crate::server::statistics::{Asker, Statistics};
use crate::session::Mark;
use crate::session::peer::{OwnAddresses, Peer};
use crate::session::sockets::{Seen, Sockets};

/// A server that has answered, and our connection to it.
struct Asked {
    listener: Listener,
    own: Peer,
    asker: Asker,
    start: Statistics,
    end: Option<Statistics>,
}

/// The servers that answer, with their answers.
#[derive(Default)]
pub(crate) struct Asking {
    asked: Vec<Asked>,
    pending: Option<Receiver<Vec<Asked>>>,
}

/// A server's growth between its two answers, beside the bytes that were recorded between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Comparison {
    /// Ordinal of the server, as in the connection table.
    pub server: u32,
    /// Listening port; 0 for a path.
    pub port: u16,
    /// Path of the UNIX-domain socket, if it listens there.
    pub path: Option<String>,
    /// Bytes that the server counted as read.
    pub bytes_read: u64,
    /// Bytes that were recorded as read.
    pub request_bytes: u64,
    /// Bytes that the server counted as written.
    pub bytes_written: u64,
    /// Bytes that were recorded as written.
    pub response_bytes: u64,
}

impl Asking {
    /// Starts to ask; recording continues meanwhile.
    pub(crate) fn start(&mut self, listeners: Vec<Listener>, own: OwnAddresses) {
        self.ask(move || {
            listeners
                .into_iter()
                .filter(Listener::is_near)
                .filter_map(|listener| Asked::start(listener, &own))
                .collect()
        });
    }

    /// Starts to ask the same servers again.
    pub(crate) fn end(&mut self) {
        self.collect(Duration::ZERO);
        let asked = std::mem::take(&mut self.asked);
        self.ask(move || asked.into_iter().map(Asked::end).collect());
    }

    fn ask(&mut self, question: impl FnOnce() -> Vec<Asked> + Send + 'static) {
        let (answer, pending) = channel();
        thread::spawn(move || answer.send(question()));
        self.pending = Some(pending);
    }

    /// Takes the answers if they arrive within `patience`. Returns false while they are still awaited.
    pub(crate) fn collect(&mut self, patience: Duration) -> bool {
        let Some(pending) = &self.pending else {
            return true;
        };
        match pending.recv_timeout(patience) {
            Ok(asked) => self.asked.extend(asked),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => {}
        }
        self.pending = None;
        true
    }

    /// Returns the servers' answers at the start, by address.
    pub(crate) fn statistics_start(&self) -> serde_json::Value {
        self.table(|asked| Some(&asked.start))
    }

    /// Returns the servers' answers at the end, by address.
    pub(crate) fn statistics_end(&self) -> serde_json::Value {
        self.table(|asked| asked.end.as_ref())
    }

    fn table<'a>(
        &'a self,
        answer: impl Fn(&'a Asked) -> Option<&'a Statistics>,
    ) -> serde_json::Value {
        let entries = self.asked.iter().filter_map(|asked| {
            let statistics = serde_json::to_value(answer(asked)?).ok()?;
            Some((asked.listener.endpoint.to_string(), statistics))
        });
        serde_json::Value::Object(entries.collect())
    }

    /// Returns the servers as a status shows them.
    pub(crate) fn servers(&self) -> Vec<ServerStatus> {
        self.asked.iter().map(Asked::status).collect()
    }

    /// Returns the number of servers that have answered.
    pub(crate) fn count(&self) -> usize {
        self.asked.len()
    }

    /// Returns the versions of the servers on whose sockets our question was seen.
    pub(crate) fn versions(&self, sockets: &Sockets) -> Vec<(u32, String)> {
        let version = |asked: &Asked| {
            let version = asked.start.general.get("version")?.clone();
            Some((sockets.reached(asked.own)?.0, version))
        };
        self.asked.iter().filter_map(version).collect()
    }

    /// Compares the servers that answered twice with the recorded bytes. A server that listens at several addresses may
    /// have been asked at each of them, if its process cannot be seen; it is compared once.
    pub(crate) fn compare(&self, sockets: &Sockets, marks: &[Mark]) -> Vec<Comparison> {
        let mut compared: Vec<Comparison> = Vec::new();
        for asked in &self.asked {
            let found = asked.compare(sockets, marks);
            let is_new = |one: &Comparison| compared.iter().all(|known| known.server != one.server);
            compared.extend(found.filter(is_new));
        }
        compared
    }
}

impl Asked {
    fn start(listener: Listener, own: &OwnAddresses) -> Option<Self> {
        let endpoint = listener.endpoint.reachable();
        let asked = Asker::connect(&endpoint, own).and_then(|(mut asker, own)| {
            let start = asker.before()?;
            Ok((asker, own, start))
        });
        match asked {
            Ok((connected, own, start)) => Some(Self {
                listener,
                own,
                asker: connected,
                start,
                end: None,
            }),
            Err(error) => {
                log::warn!("{endpoint}: no statistics: {error}");
                None
            }
        }
    }

    fn end(mut self) -> Self {
        match self.asker.after() {
            Ok(end) => self.end = Some(end),
            Err(error) => log::warn!(
                "{}: no statistics at the end: {error}",
                self.listener.endpoint
            ),
        }
        self
    }

    fn status(&self) -> ServerStatus {
        ServerStatus {
            pid: self
                .listener
                .pid
                .or_else(|| u32::try_from(self.start.counter("pid")?).ok()),
            version: self.start.general.get("version").cloned(),
            threads: self.start.counter("threads"),
            connections: self
                .start
                .counter("curr_connections")
                .map(|open| open.saturating_sub(1)),
            ..self.listener.status()
        }
    }

    fn compare(&self, sockets: &Sockets, marks: &[Mark]) -> Option<Comparison> {
        let (server, cookie) = sockets.reached(self.own)?;
        let end = self.end.as_ref()?;
        let mut asked_here = marks.iter().filter(|mark| mark.cookie == cookie);
        let (first, last) = (asked_here.next()?.seen, asked_here.next_back()?.seen);
        let counted = |name| Some(end.counter(name)?.saturating_sub(self.start.counter(name)?));
        let Seen { request, response } = last;
        Some(Comparison {
            server,
            port: self.listener.endpoint.port(),
            path: self.listener.endpoint.path(),
            bytes_read: counted("bytes_read")?,
            request_bytes: request - first.request,
            bytes_written: counted("bytes_written")?,
            response_bytes: response - first.response,
        })
    }
}
