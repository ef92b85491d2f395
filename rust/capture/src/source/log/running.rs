//! The thread of a recording from a log: read, write, tell; at the end hang up and seal.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use membench_decode::privacy::KeyHasher;
use membench_event::{Anchor, OptionsTable};
use membench_profile::{Filters, Header, Writer};
use serde_json::json;

use super::TIME_BASIS;
use super::origin::{Blocks, Origin, Server, hang_up};
use crate::recorder::guards::{Guards, Usage};
use crate::recorder::status::{ServerStatus, Shared, State};
use crate::recorder::tally::Tally;
use crate::recorder::thread::{give_up_writing, ratio};
use crate::recorder::{Batch, RecordOptions, Recording, Stop};
use crate::server::difference::growth;
use crate::server::statistics::{Asker, Statistics};
use crate::{Result, clock};
use membench_decode::log::Log;

/// How long to wait for bytes before what waits is looked at.
const PERIOD: Duration = Duration::from_millis(50);
/// How often the open part is flushed and the status told.
const FLUSH_PERIOD: Duration = Duration::from_millis(250);
/// How often the known connections are written beside the open part.
const SLOW_PERIOD: Duration = Duration::from_secs(1);
/// How long lines logged before the end may still take: memcached's log thread sleeps at most 1 s.
pub(super) const LINGER: Duration = Duration::from_millis(1100);

/// A recording from a log, before it runs.
pub(crate) struct Running {
    pub(super) options: RecordOptions,
    pub(super) anchor: Anchor,
    pub(super) log: Log,
    pub(super) origin: Option<Origin>,
    pub(super) server: Option<Asked>,
    pub(super) writer: Option<Writer>,
    pub(super) consumer: Option<SyncSender<Batch>>,
    pub(super) names: Arc<OptionsTable>,
    pub(super) tally: Tally,
    pub(super) drops: u64,
    /// Lines that the server's threads dropped, as it last said.
    pub(super) dropped: u64,
    /// Connections the consumer knows.
    met: usize,
    pub(super) status: Shared,
    pub(super) stop: Stop,
    pub(super) started: Instant,
    pub(super) cpu_before: f64,
    pub(super) write_error: Option<String>,
    /// The latest event's time, ns.
    pub(super) last_ns: u64,
    guards: Guards,
    told: (Instant, u64, f64),
    flushed: Instant,
    looked: Instant,
}

/// A server, and what it said of itself at the start.
pub(super) struct Asked {
    pub name: String,
    pub port: u16,
    pub statistics: Option<(Asker, Statistics)>,
}

impl Running {
    /// Of an opened log; what a profile of it says of itself is handed back as well.
    pub(crate) fn new(
        options: RecordOptions,
        hasher: KeyHasher,
        mut origin: Origin,
        begun: Anchor,
    ) -> (Self, Header) {
        let anchor = place(&origin, begun);
        let ahead_s = match &origin {
            Origin::Server(server) => server.clock_ahead_s(anchor.utc_ns / 1_000_000_000),
            Origin::Stored(_) => 0,
        };
        let mut header = Header {
            source: options.source.clone(),
            key_fingerprint: Some(hasher.fingerprint()),
            anchor,
            time_basis: TIME_BASIS.into(),
            facts: json!({ "log_clock_ahead_s": ahead_s }),
            ..Header::default()
        };
        let mut log = Log::new(hasher, anchor, ahead_s);
        let server = match &mut origin {
            Origin::Server(server) => Some(prepare(server, &mut header, &mut log, ahead_s)),
            Origin::Stored(_) => None,
        };
        let now = Instant::now();
        let running = Self {
            guards: Guards::new(options.limits),
            options,
            anchor,
            log,
            origin: Some(origin),
            server,
            writer: None,
            consumer: None,
            names: Arc::default(),
            tally: Tally::default(),
            drops: 0,
            dropped: 0,
            met: 0,
            status: Shared::default(),
            stop: Stop::default(),
            started: now,
            cpu_before: clock::cpu_s(),
            write_error: None,
            last_ns: anchor.monotonic_ns,
            told: (now, 0, clock::cpu_s()),
            flushed: now,
            looked: now,
        };
        (running, header)
    }

    /// What was asked for.
    pub(crate) fn options(&self) -> &RecordOptions {
        &self.options
    }

    pub(crate) fn writing(self, writer: Option<Writer>) -> Self {
        Self { writer, ..self }
    }

    pub(crate) fn feeding(self, consumer: Option<SyncSender<Batch>>) -> Self {
        Self { consumer, ..self }
    }

    pub(crate) fn telling(self, status: Shared, stop: Stop) -> Self {
        Self {
            status,
            stop,
            ..self
        }
    }

    /// Records until it is told to stop or the log ends, then seals.
    pub(crate) fn run(mut self) -> Result<Recording> {
        let servers: Vec<ServerStatus> = self.server.iter().map(Asked::status).collect();
        self.status.update(|status| {
            status.state = State::Recording;
            status.hooks = Some("log");
            status.servers = servers;
        });
        let mut connection = None;
        if let Some(origin) = self.origin.take() {
            let (blocks, stream) = origin.read()?;
            self.record(&blocks, stream.is_some());
            connection = stream;
        }
        self.end(connection.as_ref())
    }

    fn record(&mut self, blocks: &Blocks, live: bool) {
        let end = self
            .options
            .duration
            .map(|duration| self.started + duration);
        let mut last: Option<Instant> = None;
        while last.is_none_or(|last| Instant::now() < last) {
            match blocks.recv_timeout(PERIOD) {
                Ok(Ok(block)) => self.log.take(&block, now(live)),
                Ok(Err(error)) => return self.stop.ask(&format!("the log broke off: {error}")),
                Err(RecvTimeoutError::Timeout) => self.log.release(now(live)),
                Err(RecvTimeoutError::Disconnected) => return self.stop.ask(end_of(live)),
            }
            self.turn();
            if end.is_some_and(|end| Instant::now() >= end) {
                self.stop.ask("duration");
            }
            if self.stop.token.is_cancelled() {
                let patience = if live { LINGER } else { Duration::ZERO };
                last.get_or_insert(Instant::now() + patience);
            }
        }
    }

    fn turn(&mut self) {
        self.hand_on();
        if self.flushed.elapsed() >= FLUSH_PERIOD {
            self.flushed = Instant::now();
            self.flush();
            self.tell();
            self.guard();
        }
        if self.looked.elapsed() >= SLOW_PERIOD {
            self.looked = Instant::now();
            if let Some(writer) = &mut self.writer
                && let Err(error) = writer.save_connections(self.log.connections())
            {
                give_up_writing(&mut self.write_error, &self.stop, &error);
            }
            let dropped = self.server.as_mut().and_then(Asked::dropped);
            self.dropped = dropped.unwrap_or(self.dropped);
        }
    }

    pub(super) fn hand_on(&mut self) {
        let events = self.log.events();
        if events.is_empty() {
            return;
        }
        self.tally.add(events);
        let latest = events.iter().map(|event| event.time).max();
        self.last_ns = self.last_ns.max(latest.unwrap_or(0));
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.append(events, self.log.options())
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
        if let Some(consumer) = &self.consumer {
            let met = Batch::met(self.log.connections(), self.met);
            let met_now = self.met + met.len();
            let batch = Batch {
                events: events.to_vec(),
                options: Arc::clone(&self.names),
                anchor: self.anchor,
                met,
            };
            match consumer.try_send(batch) {
                Ok(()) => self.met = met_now,
                Err(_) => self.drops += events.len() as u64,
            }
        }
        self.log.clear_events();
    }

    pub(super) fn flush(&mut self) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.flush()
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
    }

    fn guard(&mut self) {
        let usage = Usage::now(self.writer.as_ref(), 0, 0);
        let most = self.options.max_size;
        self.guards.enforce(&usage, most, &self.stop);
    }

    fn tell(&mut self) {
        let (now, events, cpu_s) = (Instant::now(), self.tally.events(), clock::cpu_s());
        let (before, events_before, cpu_before) = self.told;
        let seconds = now.duration_since(before).as_secs_f64();
        let counts = self.log.counts();
        let (connections, connections_open) = self.log.connection_counts();
        let bytes_written = self.writer.as_ref().map_or(0, Writer::bytes_written);
        let (elapsed_s, cpu_started) = (self.started.elapsed().as_secs_f64(), self.cpu_before);
        let (drops, dropped) = (self.drops, self.dropped);
        self.status.update(|status| {
            status.elapsed_s = elapsed_s;
            status.events = events;
            status.requests = events;
            status.events_per_s = ratio(events - events_before, 1) / seconds;
            status.connections = connections;
            status.connections_open = connections_open;
            status.bytes_written = bytes_written;
            status.lost_lines = counts.skipped + counts.unparsed + dropped;
            status.user_queue_drops = drops;
            status.cpu_share = (cpu_s - cpu_before) / seconds;
            status.cpu_s = cpu_s - cpu_started;
        });
        self.told = (now, events, cpu_s);
    }

    fn end(mut self, connection: Option<&TcpStream>) -> Result<Recording> {
        self.status.update(|status| status.state = State::Stopping);
        let after = self.server.as_mut().and_then(Asked::after);
        if let Some(connection) = connection {
            hang_up(connection);
        }
        self.log.finish();
        self.hand_on();
        self.flush();
        let duration = self.duration();
        let status = self.status.clone();
        let recording = self.conclude(duration, after.as_ref());
        status.update(|status| status.state = State::Done);
        recording
    }
}

impl Asked {
    fn status(&self) -> ServerStatus {
        let said = self.statistics.as_ref().map(|(_, said)| said);
        let counter = |name| said.and_then(|said| said.counter(name));
        ServerStatus {
            listening: self.name.clone(),
            port: self.port,
            pid: counter("pid").and_then(|pid| u32::try_from(pid).ok()),
            network_namespace: None,
            version: said.and_then(|said| said.general.get("version").cloned()),
            threads: counter("threads"),
            // Ours are two: one for the log, one for the counters.
            connections: counter("curr_connections").map(|open| open.saturating_sub(2)),
        }
    }

    /// How many lines its threads had no room for so far: only `stats` tells.
    fn dropped(&mut self) -> Option<u64> {
        let (asker, start) = self.statistics.as_mut()?;
        match asker.general() {
            Ok(said) => Some(growth(start, &said, "log_worker_dropped")),
            Err(error) => {
                log::warn!("{}: no statistics any more: {error}", self.name);
                self.statistics = None;
                None
            }
        }
    }

    /// What the server says at the end.
    fn after(&mut self) -> Option<Statistics> {
        let (asker, _) = self.statistics.as_mut()?;
        match asker.after() {
            Ok(said) => Some(said),
            Err(error) => {
                log::warn!("{}: no statistics at the end: {error}", self.name);
                None
            }
        }
    }
}

/// Takes what a server told before its log began.
fn prepare(server: &mut Server, header: &mut Header, log: &mut Log, ahead_s: i64) -> Asked {
    header.filters = Filters {
        ports: vec![server.port],
        ..Filters::default()
    };
    header.facts = json!({ "log_streams": server.streams, "log_clock_ahead_s": ahead_s });
    if let Some((_, said)) = &server.asked {
        header.statistics_start = json!({ server.name.as_str(): said });
    }
    for (descriptor, address) in &server.connections {
        log.note_connection(*descriptor, address);
    }
    Asked {
        name: server.name.clone(),
        port: server.port,
        statistics: server.asked.take(),
    }
}

/// A stored log is placed by its own first time, a live one by our clocks.
fn place(origin: &Origin, begun: Anchor) -> Anchor {
    match origin {
        Origin::Server(_) => begun,
        Origin::Stored(log) => {
            let utc_ns = log.first_us().map_or(0, |first| first * 1000);
            Anchor {
                monotonic_ns: utc_ns,
                utc_ns,
            }
        }
    }
}

/// When bytes arrive; those of a stored log have all arrived.
fn now(live: bool) -> u64 {
    if live { clock::monotonic_ns() } else { 0 }
}

fn end_of(live: bool) -> &'static str {
    if live {
        "the server closed its log"
    } else {
        "end of file"
    }
}
