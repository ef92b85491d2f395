//! memcached's own log, live or stored → events: no privileges, no kernel, and less to know.

mod origin;
mod server;

use std::net::TcpStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use membench_decode::{Connections, log::Log, privacy::KeyHasher};
use membench_event::{Anchor, Command, ConnectionRow, Event, Ledger, LossRow, Outcome};
use serde_json::json;

use crate::server::difference::Recorded;
use crate::session::decoded::Decoded;
use crate::source::end::Ended;
use crate::source::inquiry::Inquiry;
use crate::source::log::origin::{Blocks, Origin, hang_up};
use crate::source::log::server::WatchedServer;
use crate::source::{Clock, Comparison, Description, Drained, Lost};
use crate::{RecordOptions, Result, clock};

/// The meaning of an event's `time`, as manifests name it.
const TIME_BASIS: &str = "log";
/// Time that one look waits for a stored log: a pipe may be slow.
const PATIENCE: Duration = Duration::from_millis(50);
/// Time that lines logged before the end may take to arrive: memcached's log thread sleeps at most 1 s.
const LINGER: Duration = Duration::from_millis(1100);
/// Lines in one block, about.
const LINES_A_BLOCK: usize = 512;
/// Bytes of a line, about.
const BYTES_A_LINE: usize = 128;

/// A log that is being read.
pub(crate) struct LogSource {
    log: Log,
    /// The log before it is read: the thread that reads it must not be started before privileges are given up.
    origin: Option<Origin>,
    blocks: Option<Blocks>,
    /// The connection that a server sends its log on; `None` for a stored log, and once it is closed.
    connection: Option<TcpStream>,
    is_live: bool,
    /// The rest of a block, for the next turn.
    kept: Vec<u8>,
    /// Time after which events of a stored log are left out, ns.
    last: u64,
    server: Option<WatchedServer>,
    anchor: Anchor,
    /// Time of the latest event, ns.
    latest: u64,
    recorded: Recorded,
    /// True if the server's counters speak of the same connections as the recording.
    is_comparable: bool,
    /// True once nothing more is to be taken.
    is_over: bool,
}

impl LogSource {
    /// Opens a log: asks a server to send it, or begins to read a stored one.
    pub(crate) fn open(options: &RecordOptions, hasher: KeyHasher) -> Result<(Self, Description)> {
        let begun = clock::anchor();
        let origin = Origin::open(&options.source, options.statistics)?;
        let anchor = origin.anchor(begun);
        let ahead_s = origin.clock_ahead_s(begun);
        let mut log = Log::new(hasher, anchor, ahead_s)
            .with_one_connection_in(options.sample.connections)
            .with_addresses(options.addresses.clone());
        let mut description = Description {
            anchor,
            clock: Clock::Stored,
            facts: json!({ "log_clock_ahead_s": ahead_s }),
            ..Description::new(options.source.clone(), TIME_BASIS)
        };
        let mut server = None;
        let origin = match origin {
            Origin::Server(mut opened) => {
                for (descriptor, address) in &opened.connections {
                    log.note_connection(*descriptor, address);
                }
                let watched = WatchedServer::new(&mut opened);
                description.clock = Clock::Monotonic;
                description.linger = LINGER;
                description.facts["log_streams"] = opened.streams.into();
                description.servers = vec![watched.status()];
                description.statistics_start = watched.statistics_start();
                server = Some(watched);
                Origin::Server(opened)
            }
            stored @ Origin::Stored(_) => {
                log = log.stored();
                stored
            }
        };
        let last = options
            .duration
            .filter(|_| server.is_none())
            .map(|duration| {
                let duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                anchor.monotonic_ns.saturating_add(duration)
            });
        let source = Self {
            log,
            origin: Some(origin),
            blocks: None,
            connection: None,
            is_live: server.is_some(),
            kept: Vec::new(),
            last: last.unwrap_or(u64::MAX),
            server,
            anchor,
            latest: anchor.monotonic_ns,
            recorded: Recorded::default(),
            is_comparable: options.sample.connections == 1,
            is_over: false,
        };
        Ok((source, description))
    }

    pub(crate) fn drain(&mut self, limit: usize, sink: &mut impl FnMut(&Decoded<'_>)) -> Drained {
        let mut drained = Drained::default();
        if self.is_over {
            return drained;
        }
        if let Err(error) = self.begin() {
            drained.ended = Some(Ended::Source(error.to_string()));
            return drained;
        }
        if self.is_live {
            drained.fill = self.blocks.as_ref().map_or(0.0, Blocks::fill);
        }
        for _ in 0..limit.div_ceil(LINES_A_BLOCK) {
            match self.next_block() {
                Next::Block { mut bytes, age } => {
                    self.kept = bytes.split_off(bytes.len().min(limit * BYTES_A_LINE));
                    self.log.take(&bytes, self.now());
                    if self.is_live {
                        drained.lag = drained.lag.max(age);
                    }
                    self.hand_on(sink);
                    if self.is_over {
                        drained.ended = Some(Ended::duration());
                        return drained;
                    }
                }
                Next::Nothing => {
                    self.log.release(self.now());
                    self.hand_on(sink);
                    return drained;
                }
                Next::End(ended) => {
                    drained.ended = Some(ended);
                    return drained;
                }
            }
        }
        drained.more = true;
        drained
    }

    /// Starts to read, once.
    fn begin(&mut self) -> Result<()> {
        if let Some(origin) = self.origin.take() {
            let (blocks, connection) = origin.read()?;
            (self.blocks, self.connection) = (Some(blocks), connection);
        }
        Ok(())
    }

    /// Returns the next block. A stored log is waited for, as there is nothing else to do.
    fn next_block(&mut self) -> Next {
        if !self.kept.is_empty() {
            let (bytes, age) = (std::mem::take(&mut self.kept), Duration::ZERO);
            return Next::Block { bytes, age };
        }
        let patience = if self.is_live {
            Duration::ZERO
        } else {
            PATIENCE
        };
        let blocks = self.blocks.as_ref();
        match blocks.map(|blocks| blocks.next_within(patience)) {
            Some(Ok(Ok((bytes, age)))) => Next::Block { bytes, age },
            Some(Ok(Err(error))) => Next::End(Ended::Source(format!("the log broke off: {error}"))),
            Some(Err(RecvTimeoutError::Timeout)) => Next::Nothing,
            Some(Err(RecvTimeoutError::Disconnected)) | None if self.is_live => {
                Next::End(Ended::Source("the server closed its log".to_owned()))
            }
            Some(Err(RecvTimeoutError::Disconnected)) | None => Next::End(Ended::EndOfFile),
        }
    }

    /// The moment at which bytes arrive, ns; those of a stored log have all arrived.
    fn now(&self) -> u64 {
        if self.is_live {
            clock::monotonic_ns()
        } else {
            0
        }
    }

    fn hand_on(&mut self, sink: &mut impl FnMut(&Decoded<'_>)) {
        let decoded = self.log.events();
        let within: Vec<Event>;
        if self.is_live {
            // The server's counters include what comes after the end.
            count(&mut self.recorded, decoded);
        }
        let events = if decoded.iter().all(|event| event.time <= self.last) {
            decoded
        } else {
            // Lines of a live log that belong before the end may still come.
            self.is_over |= !self.is_live;
            let is_within = |event: &&Event| event.time <= self.last;
            within = decoded.iter().filter(is_within).copied().collect();
            &within
        };
        let added = self.log.connections().added();
        if events.is_empty() && added.is_empty() {
            self.log.clear_events();
            return;
        }
        let latest = events.iter().map(|event| event.time).max();
        self.latest = self.latest.max(latest.unwrap_or(0));
        if !self.is_live {
            count(&mut self.recorded, events);
        }
        sink(&Decoded {
            events,
            options: None,
            added,
        });
        self.log.clear_events();
    }

    /// Ends the log at `time`, ns: what arrives from now on is left out if it happened later, also by memcached's clock.
    pub(crate) fn end_at(&mut self, time: u64) {
        self.last = self.last.min(time.max(self.log.latest()));
    }

    /// Asks the server now and then how many lines it dropped; the log itself settles with each look.
    pub(crate) fn settle(&mut self, _: u64, _: &mut impl FnMut(&Decoded<'_>)) {
        if let Some(server) = &mut self.server {
            server.refresh(Instant::now());
        }
    }

    #[expect(clippy::unused_self, reason = "the contract of sources")]
    pub(crate) fn beat(&self) {}

    /// Asks the server's counters for the last time, and hangs up.
    pub(crate) fn detach(&mut self) -> Option<String> {
        self.is_over = true;
        if let Some(server) = &mut self.server {
            server.ask_last();
        }
        if let Some(connection) = self.connection.take() {
            hang_up(&connection);
        }
        None
    }

    pub(crate) fn end(&mut self, sink: &mut impl FnMut(&Decoded<'_>)) -> Option<Duration> {
        self.log.finish();
        self.hand_on(sink);
        self.covered()
    }

    /// Returns the time that a stored log covers so far, by its own times.
    pub(crate) fn covered(&self) -> Option<Duration> {
        let span = Duration::from_nanos(self.latest - self.anchor.monotonic_ns);
        (!self.is_live).then_some(span)
    }

    pub(crate) fn lost(&self) -> Lost {
        let counts = self.log.counts();
        let dropped = self.server.as_ref().map_or(0, WatchedServer::dropped);
        Lost {
            lines: counts.skipped + counts.unparsed + dropped,
            ..Lost::default()
        }
    }

    pub(crate) fn ledger(&mut self) -> Ledger {
        let counts = self.log.counts();
        let server = self.server.as_ref();
        let mut ledger = Ledger {
            log_lines: counts.lines,
            // No line tells what was skipped last.
            log_skipped: counts.skipped.max(server.map_or(0, WatchedServer::skipped)),
            log_dropped: server.map_or(0, WatchedServer::dropped),
            log_unparsed: counts.unparsed,
            log_clock_steps: counts.clock_steps,
            boundary: counts.boundary,
            ..Ledger::default()
        };
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }

    pub(crate) fn connections(&self) -> &Connections {
        self.log.connections()
    }

    pub(crate) fn take_ended(&mut self) -> Vec<ConnectionRow> {
        self.log.take_ended()
    }

    /// The log tells of losses by their number only.
    #[expect(clippy::unused_self, reason = "the contract of sources")]
    pub(crate) fn take_losses(&mut self) -> Vec<LossRow> {
        Vec::new()
    }

    pub(crate) fn compare(&self, _: &Inquiry) -> Comparison {
        let Some(server) = &self.server else {
            return Comparison::default();
        };
        let mut comparison = server.compare(self.recorded);
        if !self.is_comparable {
            comparison.differences.clear();
        }
        comparison
    }
}

/// The next piece of a log.
enum Next {
    Block { bytes: Vec<u8>, age: Duration },
    Nothing,
    End(Ended),
}

/// Counts events as the server counts their commands, before any of them is left out of the sample.
fn count(recorded: &mut Recorded, events: &[Event]) {
    for event in events {
        let is_lookup = matches!(
            event.command,
            Command::Get | Command::Delete | Command::MetaDelete
        );
        if is_lookup {
            recorded.lookups += 1;
        } else if event.outcome != Some(Outcome::ServerError) {
            recorded.stores += 1;
        }
    }
}
