//! The server whose log is read → what it says of itself, and its counters beside the log.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::difference::{Recorded, differences, growth};
use crate::server::statistics::{Asker, Statistics};
use crate::server::status::ServerStatus;
use crate::source::Comparison;
use crate::source::log::origin::Server;

/// Interval at which a server is asked how many lines it dropped.
const PERIOD: Duration = Duration::from_secs(1);

/// A server, and what it said of itself.
pub(crate) struct WatchedServer {
    name: String,
    port: u16,
    /// The connection it is asked on, until it no longer answers.
    asker: Option<Asker>,
    start: Option<Statistics>,
    end: Option<Statistics>,
    asked: Instant,
    /// Lines for which its threads had no room, as it last said.
    dropped: u64,
}

impl WatchedServer {
    /// Takes over the connection on which a server was asked at the start.
    pub(crate) fn new(opened: &mut Server) -> Self {
        let (asker, start) = opened.asked.take().unzip();
        Self {
            name: opened.name.clone(),
            port: opened.port,
            asker,
            start,
            end: None,
            asked: Instant::now(),
            dropped: 0,
        }
    }

    /// The server, as a person would name it.
    pub(crate) fn status(&self) -> ServerStatus {
        let start = self.start.as_ref();
        let counter = |name| start.and_then(|said| said.counter(name));
        ServerStatus {
            listening: self.name.clone(),
            port: self.port,
            pid: counter("pid").and_then(|pid| u32::try_from(pid).ok()),
            network_namespace: None,
            version: start.and_then(|said| said.general.get("version").cloned()),
            threads: counter("threads"),
            // Ours are two: one for the log, one for the counters.
            connections: counter("curr_connections").map(|open| open.saturating_sub(2)),
        }
    }

    /// Its counters at the start, for the manifest.
    pub(crate) fn statistics_start(&self) -> Value {
        self.named(self.start.as_ref())
    }

    fn named(&self, said: Option<&Statistics>) -> Value {
        said.map_or(Value::Null, |said| json!({ self.name.as_str(): said }))
    }

    /// Asks how many lines it dropped, if the last answer is old.
    pub(crate) fn refresh(&mut self, now: Instant) {
        if now.duration_since(self.asked) < PERIOD {
            return;
        }
        self.asked = now;
        let (Some(asker), Some(start)) = (&mut self.asker, &self.start) else {
            return;
        };
        match asker.general() {
            Ok(said) => self.dropped = growth(start, &said, "log_worker_dropped"),
            Err(error) => {
                log::warn!("{}: no statistics any more: {error}", self.name);
                self.asker = None;
            }
        }
    }

    /// Asks for its counters at the end.
    pub(crate) fn ask_last(&mut self) {
        let Some(asker) = &mut self.asker else {
            return;
        };
        match asker.after() {
            Ok(said) => self.end = Some(said.statistics),
            Err(error) => log::warn!("{}: no statistics at the end: {error}", self.name),
        }
    }

    /// Lines for which its threads had no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.max(self.grown("log_worker_dropped"))
    }

    /// Lines that it skipped, if nobody else watches: it counts those of all watchers together.
    pub(crate) fn skipped(&self) -> u64 {
        if self.is_alone() {
            self.grown("log_watcher_skipped")
        } else {
            0
        }
    }

    fn is_alone(&self) -> bool {
        let asked = [&self.start, &self.end].into_iter().flatten();
        let mut watchers = asked.filter_map(|said| said.counter("log_watchers"));
        watchers.all(|watchers| watchers <= 1)
    }

    fn grown(&self, name: &str) -> u64 {
        match (&self.start, &self.end) {
            (Some(start), Some(end)) => growth(start, end, name),
            _ => 0,
        }
    }

    /// Puts its counters beside what its log held.
    pub(crate) fn compare(&self, recorded: Recorded) -> Comparison {
        let (differences, reset) = match (&self.start, &self.end) {
            (Some(start), Some(end)) if end.is_reset_since(start) => (Vec::new(), 1),
            (Some(start), Some(end)) => (differences(self.port, start, end, recorded), 0),
            _ => (Vec::new(), 0),
        };
        Comparison {
            reset,
            statistics_end: self.named(self.end.as_ref()),
            differences,
            ..Comparison::default()
        }
    }
}
