//! Servers → their own counters at the start and the end of a recording, asked for on a thread of its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use membench_event::ServerRun;
use serde::Serialize;

use crate::selection::listeners::Listener;
use crate::server::statistics::{Answer, Asker, Statistics};
use crate::server::status::ServerStatus;
use crate::session::peer::{OwnAddresses, Peer};
use crate::session::sockets::Sockets;
use crate::session::{Mark, Session};

/// A server that has answered, and our connection to it.
struct Asked {
    listener: Listener,
    own: Peer,
    asker: Asker,
    start: Answer,
    end: Option<Answer>,
}

/// The servers that answer, with their answers.
#[derive(Default)]
pub(crate) struct Asking {
    asked: Vec<Asked>,
    pending: Vec<Receiver<Vec<Asked>>>,
}

/// A server's growth between its two answers, beside the bytes that were recorded between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    /// Bytes that were recorded as written, without those that the server does not count.
    pub response_bytes: u64,
    /// True if the server set its counters to 0 meanwhile: they say nothing then.
    pub is_reset: bool,
    /// True if the server listens at followed ports and paths only, so that its counters speak of the recorded
    /// connections.
    pub is_whole: bool,
}

impl Comparison {
    /// Bytes that the server counted and that were not recorded.
    pub(crate) fn unseen(&self) -> u64 {
        if self.is_reset || !self.is_whole {
            return 0;
        }
        let requests = self.bytes_read.saturating_sub(self.request_bytes);
        requests + self.bytes_written.saturating_sub(self.response_bytes)
    }

    /// Returns the comparison with what was counted and recorded between two looks.
    fn grown(&self, start: (&Statistics, &&Mark), end: (&Statistics, &&Mark)) -> Option<Self> {
        let counted = |name| Some(end.0.counter(name)?.saturating_sub(start.0.counter(name)?));
        let (first, last) = (start.1, end.1);
        let uncounted = last.uncounted.saturating_sub(first.uncounted);
        let responses = last.seen.response.saturating_sub(first.seen.response);
        Some(Self {
            bytes_read: counted("bytes_read")?,
            request_bytes: last.seen.request.saturating_sub(first.seen.request),
            bytes_written: counted("bytes_written")?,
            response_bytes: responses.saturating_sub(uncounted),
            ..self.clone()
        })
    }

    fn distance(&self) -> u64 {
        let requests = self.bytes_read.abs_diff(self.request_bytes);
        requests.saturating_add(self.bytes_written.abs_diff(self.response_bytes))
    }
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
        self.pending.push(pending);
    }

    /// Takes the answers if they arrive within `patience`. Returns false while they are still awaited.
    pub(crate) fn collect(&mut self, patience: Duration) -> bool {
        let asked = &mut self.asked;
        self.pending
            .retain(|pending| match pending.recv_timeout(patience) {
                Ok(answers) => {
                    asked.extend(answers);
                    false
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            });
        self.pending.is_empty()
    }

    /// Returns the servers' answers at the start, by address.
    pub(crate) fn statistics_start(&self) -> serde_json::Value {
        self.table(|asked| Some(&asked.start.statistics))
    }

    /// Returns the servers' answers at the end, by address.
    pub(crate) fn statistics_end(&self) -> serde_json::Value {
        self.table(|asked| Some(&asked.end.as_ref()?.statistics))
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

    /// Returns the servers as a status shows them, in the order of their answers.
    pub(crate) fn servers(&self) -> impl Iterator<Item = ServerStatus> {
        self.asked.iter().map(Asked::status)
    }

    /// Returns what the server behind a listener said of itself; `None` if it has not answered.
    pub(crate) fn about(&self, listener: &Listener) -> Option<ServerRun> {
        let is_asked = |asked: &&Asked| asked.listener.inode == listener.inode;
        let asked = self.asked.iter().find(is_asked)?;
        let ServerStatus {
            pid,
            version,
            threads,
            ..
        } = asked.status();
        Some(ServerRun {
            pid,
            version,
            threads,
            memory: asked.start.statistics.counter("limit_maxbytes"),
            ..ServerRun::default()
        })
    }

    /// Returns the number of servers that have answered.
    pub(crate) fn count(&self) -> usize {
        self.asked.len()
    }

    /// Returns the versions of the servers on whose sockets our question was seen.
    pub(crate) fn versions(&self, sockets: &Sockets) -> Vec<(u32, String)> {
        let version = |asked: &Asked| {
            let version = asked.start.statistics.general.get("version")?.clone();
            Some((sockets.reached(asked.own)?.0, version))
        };
        self.asked.iter().filter_map(version).collect()
    }

    /// Compares the servers that answered twice with the recorded bytes. A server that listens at several addresses may
    /// have been asked at each of them, if its process cannot be seen; it is compared once.
    pub(crate) fn compare(&self, session: &Session) -> Vec<Comparison> {
        let mut compared: Vec<Comparison> = Vec::new();
        for asked in &self.asked {
            let found = asked.compare(session);
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
        let statistics = &self.start.statistics;
        ServerStatus {
            pid: self
                .listener
                .pid
                .or_else(|| u32::try_from(statistics.counter("pid")?).ok()),
            version: statistics.general.get("version").cloned(),
            threads: statistics.counter("threads"),
            connections: statistics
                .counter("curr_connections")
                .map(|open| open.saturating_sub(1)),
            ..ServerStatus::of(&self.listener)
        }
    }

    /// Compares at each pair of looks, and returns the pair that agrees best: a worker between a call and its counter
    /// makes a pair differ by what is not lost.
    fn compare(&self, session: &Session) -> Option<Comparison> {
        let (server, cookie) = session.sockets().reached(self.own)?;
        let end = self.end.as_ref()?;
        let marks: Vec<_> = session
            .marks()
            .iter()
            .filter(|mark| mark.cookie == cookie)
            .collect();
        if marks.len() != self.start.looks.len() + end.looks.len() {
            return None;
        }
        let (first, last) = marks.split_at(self.start.looks.len());
        let between = Comparison {
            server,
            port: self.listener.endpoint.port(),
            path: self.listener.endpoint.path(),
            is_reset: end.statistics.is_reset_since(&self.start.statistics)
                || session.resets().any(|reset| reset == server),
            is_whole: self.listener.is_whole,
            ..Comparison::default()
        };
        let starts = self.start.looks.iter().zip(first);
        let pairs =
            starts.flat_map(|start| end.looks.iter().zip(last).map(move |end| (start, end)));
        pairs
            .filter_map(|(start, end)| between.grown(start, end))
            .min_by_key(Comparison::distance)
    }
}
