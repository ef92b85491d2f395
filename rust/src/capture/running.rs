//! The recording's thread: drain, decode, write, tell; at the end detach, settle and seal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use membench_common::counter;

use crate::Result;
use crate::decode::Decoder;
use crate::event::OptionsTable;
use crate::profile::{Anchor, End, Writer};

use super::asking::Asking;
use super::clock;
use super::ledger::Ledger;
use super::listeners::{self, Listener};
use super::recorder::{Batch, Cost, Difference, RecordOptions, Recording, Stop};
use super::session::Session;
use super::sockets::{OwnAddresses, Sockets};
use super::status::{Shared, State};
use super::tally::Tally;
use super::{Kernel, Record};

/// How often the open part is flushed and the status told.
const FLUSH_PERIOD: Duration = Duration::from_millis(250);
/// How often the known connections are written beside the open part, and listeners looked for while there are none.
const SLOW_PERIOD: Duration = Duration::from_secs(1);
/// The shortest and the longest pause between two drains.
const DRAIN_PERIODS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));
/// Records taken before events are handed on, so that a drain never holds many.
const RECORDS_PER_TURN: usize = 16_384;
/// How long servers may take for their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// A recording's thread, before it runs.
pub(super) struct Running {
    options: RecordOptions,
    kernel: Kernel,
    session: Session,
    own: OwnAddresses,
    asking: Asking,
    anchor: Anchor,
    writer: Option<Writer>,
    consumer: Option<SyncSender<Batch>>,
    names: Arc<OptionsTable>,
    tally: Tally,
    status: Shared,
    stop: Stop,
    started: Instant,
    drain_period: Duration,
    flushed: Instant,
    looked: Instant,
    told: (Instant, u64, f64),
    write_error: Option<String>,
}

impl Running {
    pub(super) fn new(
        options: RecordOptions,
        kernel: Kernel,
        decoder: Decoder,
        own: OwnAddresses,
        anchor: Anchor,
    ) -> Self {
        let now = Instant::now();
        let sockets = Sockets::new(own.clone(), listeners::clients(&options.ports).into_iter());
        Self {
            options,
            kernel,
            session: Session::new(decoder, sockets),
            own,
            asking: Asking::default(),
            anchor,
            writer: None,
            consumer: None,
            names: Arc::default(),
            tally: Tally::default(),
            status: Shared::default(),
            stop: Stop::default(),
            started: now,
            drain_period: DRAIN_PERIODS.0,
            flushed: now,
            looked: now,
            told: (now, 0, clock::cpu_s()),
            write_error: None,
        }
    }

    pub(super) fn writing(self, writer: Option<Writer>) -> Self {
        Self { writer, ..self }
    }

    pub(super) fn feeding(self, consumer: Option<SyncSender<Batch>>) -> Self {
        Self { consumer, ..self }
    }

    pub(super) fn telling(self, status: Shared, stop: Stop) -> Self {
        Self {
            status,
            stop,
            ..self
        }
    }

    /// Records until it is told to stop, then seals.
    pub(super) fn run(mut self, listeners: Vec<Listener>) -> Result<Recording> {
        self.meet(listeners);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| crate::Error::Io {
                path: PathBuf::from("a timer"),
                source,
            })?;
        runtime.block_on(self.record());
        self.end()
    }

    async fn record(&mut self) {
        let token = self.stop.token.clone();
        let end = self
            .options
            .duration
            .map(|duration| self.started + duration);
        while !token.is_cancelled() {
            let wake = Instant::now() + self.drain_period;
            let wake = end.map_or(wake, |end| wake.min(end));
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.turn();
            if end.is_some_and(|end| Instant::now() >= end) {
                self.stop.ask("duration");
            }
        }
    }

    /// One look at the ring and whatever else is due.
    fn turn(&mut self) {
        let taken = self.drain();
        self.adapt(taken);
        if self.flushed.elapsed() >= FLUSH_PERIOD {
            self.flushed = Instant::now();
            self.flush();
            self.collect_answers(Duration::ZERO);
            self.tell();
        }
        if self.looked.elapsed() >= SLOW_PERIOD {
            self.looked = Instant::now();
            self.look();
        }
    }

    /// Takes everything out of the ring and hands the events on; returns the bytes taken.
    fn drain(&mut self) -> u64 {
        let mut bytes = 0;
        loop {
            let session = &mut self.session;
            let taken = self
                .kernel
                .drain(RECORDS_PER_TURN, &mut |record: Record<'_>| {
                    bytes += record.size();
                    session.take(&record);
                });
            self.hand_on();
            if taken < RECORDS_PER_TURN {
                return bytes;
            }
        }
    }

    /// The fuller the ring was, the sooner the next look.
    fn adapt(&mut self, taken: u64) {
        let ring = u64::from(self.kernel.facts().ring_bytes);
        let period = if taken > ring / 4 {
            self.drain_period / 2
        } else if taken < ring / 20 {
            self.drain_period * 2
        } else {
            self.drain_period
        };
        self.drain_period = period.clamp(DRAIN_PERIODS.0, DRAIN_PERIODS.1);
    }

    fn hand_on(&mut self) {
        let decoder = self.session.decoder();
        if decoder.events().is_empty() {
            return;
        }
        self.tally.add(decoder.events());
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.append(decoder.events(), decoder.options())
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
        if let Some(consumer) = &self.consumer {
            if self.names.names().len() != decoder.options().names().len() {
                self.names = Arc::new(decoder.options().clone());
            }
            let events = decoder.events().to_vec();
            let lost = events.len() as u64;
            let batch = Batch {
                events,
                options: Arc::clone(&self.names),
                anchor: self.anchor,
            };
            if consumer.try_send(batch).is_err() {
                self.session.drop_events(lost);
            }
        }
        self.session.decoder().clear_events();
    }

    fn flush(&mut self) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.flush()
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
    }

    /// Asks servers that were found for their counters.
    fn meet(&mut self, listeners: Vec<Listener>) {
        if listeners.is_empty() {
            return;
        }
        self.status.update(|status| {
            status.state = State::Recording;
            status.servers = listeners.iter().map(Listener::status).collect();
        });
        if self.options.statistics {
            self.asking.start(listeners, self.own.clone());
        }
    }

    fn collect_answers(&mut self, patience: Duration) {
        if !self.asking.collect(patience) {
            return;
        }
        let servers = self.asking.servers();
        if !servers.is_empty() {
            self.status.update(|status| status.servers = servers);
        }
        if let Some(writer) = &mut self.writer {
            writer.set_statistics_start(self.asking.statistics_start());
        }
    }

    fn look(&mut self) {
        let waiting = self.status.get().state == State::Waiting;
        if waiting {
            self.meet(listeners::find(&self.options.ports));
        }
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.save_connections(self.session.sockets().connections())
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
    }

    fn tell(&mut self) {
        let (now, events, cpu_s) = (Instant::now(), self.tally.events(), clock::cpu_s());
        let (before, events_before, cpu_before) = self.told;
        let seconds = now.duration_since(before).as_secs_f64();
        let counters = self.kernel.counters();
        let (connections, connections_open) = self.session.sockets().counts();
        let bytes_written = self.writer.as_ref().map_or(0, Writer::bytes_written);
        let drops = self.session.dropped();
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let requests = self.tally.requests();
        self.status.update(|status| {
            status.elapsed_s = elapsed_s;
            status.events = events;
            status.requests = requests;
            status.events_per_s = ratio(events - events_before, 1) / seconds;
            status.connections = connections;
            status.connections_open = connections_open;
            status.bytes_written = bytes_written;
            status.lost_bytes = lost_bytes(&counters);
            status.user_queue_drops = drops;
            status.cpu_share = (cpu_s - cpu_before) / seconds;
            status.cpu_s = cpu_s;
        });
        self.told = (now, events, cpu_s);
    }

    /// Asks the last questions, detaches, settles what is open and seals.
    fn end(mut self) -> Result<Recording> {
        self.status.update(|status| status.state = State::Stopping);
        let stopped_by = self.stop.reason();
        if self.options.statistics {
            self.ask_last();
        }
        let duration = self.started.elapsed();
        self.kernel.detach();
        self.drain();
        self.session.end();
        self.hand_on();
        self.flush();
        let misses = self.kernel.program_misses().unwrap_or(0);
        let ledger = self.session.ledger(&self.kernel.counters(), misses);
        let status = self.status.clone();
        let recording = self.conclude(duration, stopped_by, ledger);
        status.update(|status| status.state = State::Done);
        recording
    }

    /// The ring goes on being drained while the servers answer.
    fn ask_last(&mut self) {
        self.asking.collect(LAST_ANSWERS);
        self.collect_answers(Duration::ZERO);
        self.asking.end();
        let deadline = Instant::now() + LAST_ANSWERS;
        while !self.asking.collect(DRAIN_PERIODS.0) && Instant::now() < deadline {
            self.drain();
        }
        self.drain();
    }

    fn conclude(
        mut self,
        duration: Duration,
        stopped_by: String,
        mut ledger: Ledger,
    ) -> Result<Recording> {
        let differences = self.differences();
        let statistics_end = self.asking.statistics_end();
        let (connections, _, losses) = self.session.into_tables();
        let open_at_start = connections
            .iter()
            .filter(|row| row.opened.is_none())
            .count() as u64;
        let count = connections.len() as u64;
        let mut bytes_written = 0;
        if let Some(writer) = self.writer.take() {
            let manifest = writer.finish(End {
                connections,
                losses,
                ledger: ledger.clone(),
                statistics_end,
                stopped_by: stopped_by.clone(),
                duration_ns: u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
            })?;
            bytes_written = manifest.parts.iter().map(|part| part.bytes).sum();
            ledger = manifest.ledger;
        }
        let cpu_s = clock::cpu_s();
        let events = self.tally.events();
        Ok(Recording {
            profile: self.options.output,
            duration_s: duration.as_secs_f64(),
            events,
            requests: self.tally.requests(),
            connections: count,
            open_at_start,
            commands: self.tally.commands(),
            outcomes: self.tally.outcomes(),
            ledger,
            differences,
            cost: Cost {
                cpu_s,
                ns_per_event: (events > 0).then(|| cpu_s * 1e9 / ratio(events, 1)),
                bytes_written,
                bytes_per_event: (events > 0).then(|| ratio(bytes_written, events)),
            },
            stopped_by,
            write_error: self.write_error,
        })
    }

    fn differences(&self) -> Vec<Difference> {
        let compared = self
            .asking
            .compare(self.session.sockets(), self.session.marks());
        let both = compared.iter().flat_map(|of| {
            [
                Difference {
                    port: of.port,
                    counter: "bytes_read",
                    server: of.bytes_read,
                    recorded: of.request_bytes,
                },
                Difference {
                    port: of.port,
                    counter: "bytes_written",
                    server: of.bytes_written,
                    recorded: of.response_bytes,
                },
            ]
        });
        both.collect()
    }
}

/// Writing has failed for good: what is there is sealed.
fn give_up_writing(kept: &mut Option<String>, stop: &Stop, error: &crate::Error) {
    kept.get_or_insert_with(|| error.to_string());
    stop.ask("output failed");
}

fn lost_bytes(counters: &[u64; counter::COUNT]) -> u64 {
    counters[counter::RING_FULL as usize..=counter::OTHER_FAMILY as usize]
        .iter()
        .sum()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]
fn ratio(amount: u64, of: u64) -> f64 {
    amount as f64 / of as f64
}
