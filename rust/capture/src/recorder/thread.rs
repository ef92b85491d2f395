//! The recording's thread: drains the source, writes, watches the guards; at the end it detaches, settles and seals.

use std::time::{Duration, Instant};

use membench_event::{Ledger, ServerRun, ratio};
use serde_json::Value;

use crate::recorder::companion::{LAST_ROWS, Rows};
use crate::recorder::empty;
use crate::recorder::guards::{Guards, Usage, resident_memory};
use crate::recorder::options::RecordOptions;
use crate::recorder::pace::{self, DRAIN_PERIODS};
use crate::recorder::progress::{Progress, Reported};
use crate::recorder::recording::{Cost, Recording};
use crate::recorder::rotation::{Cut, Profiles};
use crate::recorder::runs::Runs;
use crate::recorder::sink::Sink;
use crate::recorder::status::{Shared, State};
use crate::recorder::stop::Stop;
use crate::selection::listeners::{self, Listener};
use crate::source::inquiry::{Answers, Inquiry};
use crate::source::{Clock, Description, Drained, Source};
use crate::sys::Locked;
use crate::{Ended, Error, Followed, Result, ServerStatus, Side, clock};

/// Interval at which the open part is flushed and the status updated.
const FLUSH_PERIOD: Duration = Duration::from_millis(250);
/// Interval at which known connections are written beside the open part, and listeners looked for while there are none.
const SLOW_PERIOD: Duration = Duration::from_secs(1);
/// Records taken before events are handed on, so that a drain never holds many.
const RECORDS_PER_TURN: usize = 16_384;
/// Records of a stored source that a turn takes if its size is limited, and if its age is: both are checked each turn.
const RECORDS_PER_CUT: (usize, usize) = (2_048, 64);
/// Time that servers may take for their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// A recording, as its thread runs it.
pub(crate) struct RecordingThread {
    pub(crate) options: RecordOptions,
    pub(crate) followed: Followed,
    pub(crate) description: Description,
    pub(crate) source: Source,
    pub(crate) inquiry: Inquiry,
    pub(crate) sink: Sink,
    /// Rows that an observer beside the recording hands on.
    pub(crate) observed: Option<Rows>,
    pub(crate) guards: Guards,
    pub(crate) status: Shared,
    pub(crate) stop: Stop,
    pub(crate) progress: Progress,
    /// Keeps the memory of the secret locked; dropped after the source, which holds it.
    pub(crate) _locked: Locked,
    pub(crate) runs: Runs,
}

impl RecordingThread {
    /// Records until it is asked to stop or the source ends, then seals. `listeners` are the servers found so far.
    pub(crate) fn run(mut self, listeners: Vec<Listener>) -> Result<Recording> {
        let profiles = self.sink.profiles.as_ref();
        profiles.map_or(Ok(()), Profiles::check)?;
        self.begin(listeners);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| Error::NotStarted {
                what: "timer",
                source,
            })?;
        runtime.block_on(self.record());
        self.end()
    }

    fn begin(&mut self, listeners: Vec<Listener>) {
        let waits = self.description.sees_reads() && self.followed.side == Side::Server;
        let servers = self.description.servers.clone();
        self.status.update(|status| {
            status.servers = servers;
            if !waits {
                status.state = State::Recording;
            }
        });
        self.ask(listeners, None);
    }

    async fn record(&mut self) {
        let token = self.stop.token.clone();
        let duration = self.options.duration;
        let end = duration
            .filter(|_| self.description.is_live())
            .map(|duration| self.progress.started + duration);
        while !token.is_cancelled() {
            let wake = Instant::now() + self.progress.drain_period;
            let wake = end.map_or(wake, |end| wake.min(end));
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.turn();
            if end.is_some_and(|end| Instant::now() >= end) {
                self.stop.ask(Ended::duration());
            }
        }
    }

    /// Looks at the source once, and does whatever else is due.
    fn turn(&mut self) {
        let drained = self.drain();
        // A stored source is read on at once.
        self.progress.drain_period = if self.description.is_live() {
            pace::next_period(self.progress.drain_period, drained.fill)
        } else {
            Duration::ZERO
        };
        if let Some(ended) = drained.ended {
            self.stop.ask(ended);
        }
        if !self.description.is_live() {
            self.check_stored();
        }
        if self.progress.flushed.elapsed() >= FLUSH_PERIOD {
            self.progress.flushed = Instant::now();
            self.settle(clock::monotonic_ns());
            self.sink.write(membench_profile::Writer::flush);
            self.take_answers(Duration::ZERO);
            self.take_observed(None);
            self.note_ends();
            self.report();
            self.guard();
            self.rotate();
        }
        if self.progress.looked.elapsed() >= SLOW_PERIOD {
            self.progress.looked = Instant::now();
            self.look();
        }
    }

    /// Checks the limits of a stored source that its own bytes and times decide.
    fn check_stored(&mut self) {
        if self.is_size_limited() {
            self.sink.write(membench_profile::Writer::flush);
            self.guard();
        }
        self.rotate();
    }

    fn is_size_limited(&self) -> bool {
        self.options.rotate.bytes.is_some() || self.options.max_size.is_some()
    }

    /// Most records that one turn takes.
    fn records_per_turn(&self) -> usize {
        let (for_size, for_age) = RECORDS_PER_CUT;
        if self.description.is_live() {
            RECORDS_PER_TURN
        } else if self.options.rotate.age.is_some() {
            for_age
        } else if self.is_size_limited() {
            for_size
        } else {
            RECORDS_PER_TURN
        }
    }

    /// Takes everything out of a live source, or a turn's share of a stored one, and hands the events on.
    fn drain(&mut self) -> Drained {
        let limit = self.records_per_turn();
        let sink = &mut self.sink;
        let mut all = Drained::default();
        loop {
            let drained = self.source.drain(limit, &mut |decoded| sink.take(decoded));
            let more = drained.more && self.description.is_live();
            all = Drained {
                fill: all.fill.max(drained.fill),
                lag: all.lag.max(drained.lag),
                ..drained
            };
            if !more {
                break;
            }
        }
        self.progress.pace.note(all.fill, all.lag);
        all
    }

    fn settle(&mut self, now: u64) {
        let sink = &mut self.sink;
        self.source.settle(now, &mut |decoded| sink.take(decoded));
    }

    /// Asks servers that were found `began` after the start for their counters; `None` if they ran before.
    fn ask(&mut self, listeners: Vec<Listener>, began: Option<Duration>) {
        if listeners.is_empty() || self.followed.side == Side::Client {
            return;
        }
        self.runs.add(&listeners, began);
        self.status.update(|status| {
            status.state = State::Recording;
            let new = listeners.iter().map(ServerStatus::of);
            status.servers.extend(new);
        });
        self.inquiry.ask(listeners);
    }

    /// Looks which servers have ended, and tells.
    fn note_ends(&mut self) {
        if let Some(session) = self.source.session() {
            let servers = session.sockets().servers();
            self.runs.learn_pids(servers);
            self.runs.meet(servers);
        }
        if self.runs.note_ends(self.progress.started.elapsed()) {
            let running = self.runs.status();
            self.status.update(|status| status.keep_servers(&running));
        }
        let runs = self.server_runs();
        self.status.update(|status| status.server_runs = runs);
    }

    fn server_runs(&self) -> Vec<ServerRun> {
        self.runs.report(|listener| self.inquiry.about(listener))
    }

    fn take_answers(&mut self, patience: Duration) {
        let Some(answers) = self.inquiry.collect(patience) else {
            return;
        };
        if let Some(session) = self.source.session() {
            self.inquiry.teach(session);
        }
        let Answers {
            servers,
            statistics_start,
        } = answers;
        self.status.update(|status| status.name_servers(servers));
        if let Some(statistics) = statistics_start {
            self.sink
                .write(|writer| writer.set_statistics_start(statistics));
        }
    }

    /// Writes what the observer has handed on; with a deadline, waits for its end until then.
    fn take_observed(&mut self, deadline: Option<Instant>) {
        let Some(rows) = &self.observed else {
            return;
        };
        while let Some(rows) = deadline.map_or_else(|| rows.next(), |end| rows.next_until(end)) {
            self.sink.write(|writer| writer.append_observation(&rows));
        }
    }

    fn look(&mut self) {
        if self.status.get().state == State::Waiting || self.runs.is_one_unknown() {
            let new = self.runs.new_among(listeners::find(&self.followed));
            self.ask(new, Some(self.progress.started.elapsed()));
        }
        if let Some(profiles) = &mut self.sink.profiles
            && self.description.clock == Clock::Monotonic
        {
            profiles.writer().note_clocks(clock::anchor());
        }
        self.hand_on_ended();
        let open = self.source.connections();
        self.sink
            .write_profiles(|profiles| profiles.save_open_connections(open.open_rows()));
    }

    /// Writes the rows of the connections that have ended, which are not held any longer.
    fn hand_on_ended(&mut self) {
        let ended = self.source.take_ended();
        self.sink
            .write_profiles(|profiles| profiles.append_connections(ended));
    }

    /// Updates the status.
    fn report(&mut self) {
        let (now, cpu_s) = (Instant::now(), clock::cpu_s());
        let (events, requests) = (self.sink.tally().events(), self.requests());
        let Reported {
            at,
            covered: covered_before,
            events: events_before,
            cpu_s: cpu_before,
        } = self.progress.reported;
        // A stored source tells its own time, however fast it is read.
        let covered = self.source.covered();
        let elapsed = covered.unwrap_or_else(|| self.progress.started.elapsed());
        let seconds = now.duration_since(at).as_secs_f64();
        let covered_s = covered.map(|covered| covered.saturating_sub(covered_before).as_secs_f64());
        let (connections, connections_open) = {
            let table = self.source.connections();
            (table.total(), table.open())
        };
        let lost = self.source.lost();
        let (bytes_written, dropped) = (self.sink.bytes_written(), self.sink.dropped());
        let pace = self.progress.pace.end_span();
        let cpu_at_start = self.progress.cpu_at_start;
        let event_seconds = covered_s.unwrap_or(seconds);
        self.status.update(|status| {
            status.elapsed_s = elapsed.as_secs_f64();
            status.events = events;
            status.requests = requests;
            if event_seconds > 0.0 {
                status.events_per_s = ratio(events - events_before, 1) / event_seconds;
            }
            status.connections = connections;
            status.connections_open = connections_open;
            status.bytes_written = bytes_written;
            status.lost_bytes = lost.bytes;
            status.lost_packets = lost.packets;
            status.lost_lines = lost.lines;
            status.user_queue_drops = dropped;
            status.pace = pace;
            if seconds > 0.0 {
                status.cpu_share = (cpu_s - cpu_before) / seconds;
            }
            status.cpu_s = cpu_s - cpu_at_start;
        });
        self.progress.reported = Reported {
            at: now,
            covered: covered.unwrap_or_default(),
            events,
            cpu_s,
        };
    }

    /// Ends the recording if it has written as much as was asked for, or reached a guard.
    fn guard(&mut self) {
        let written = self.sink.bytes_written();
        if self.options.max_size.is_some_and(|size| written >= size) {
            self.stop.ask(Ended::Asked("max-size".to_owned()));
        }
        let usage = Usage {
            cpu_s: clock::cpu_s(),
            memory: resident_memory().map(|own| own + self.description.buffer_bytes),
            written,
            free: self.sink.profiles.as_ref().and_then(Profiles::free_bytes),
        };
        if let Some(reached) = self.guards.check(Instant::now(), &usage) {
            self.stop.ask(Ended::Guard(reached.to_string()));
        }
    }

    /// Continues in another profile if that is due. A request that waits for its response then becomes an event of the
    /// next profile.
    fn rotate(&mut self) {
        let now = self.description.now(self.sink.latest_ns());
        let profiles = self.sink.profiles.as_ref();
        let may_wait = !self.description.is_live();
        if !profiles.is_some_and(|profiles| profiles.is_due(now, may_wait)) {
            return;
        }
        // A closed connection is only in the tables of its own time.
        self.settle(u64::MAX);
        if let Err(error) = self.switch_profiles(now) {
            self.sink.give_up_writing(&error);
        }
    }

    fn switch_profiles(&mut self, now: u64) -> Result<()> {
        let Some(profiles) = &mut self.sink.profiles else {
            return Ok(());
        };
        let next = profiles.create_next(now)?;
        self.hand_on_ended();
        let ledger = self.ledger().at_a_cut();
        let cut = Cut {
            now,
            losses: self.source.take_losses(),
            connections: self.source.connections().open_rows(),
            ledger,
            sampled_out: self.sink.take_sampled_out(),
            stopped_by: "rotate".to_owned(),
            statistics_end: Value::Null,
            server_runs: self.server_runs(),
        };
        match &mut self.sink.profiles {
            Some(profiles) => profiles.switch_to(next, cut),
            None => Ok(()),
        }
    }

    /// The ledger so far: of the source, and of the events that nobody took.
    fn ledger(&mut self) -> Ledger {
        let mut ledger = self.source.ledger();
        ledger.user_queue_drops = self.sink.dropped();
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }

    /// Asks the last questions, detaches, settles what is open and seals.
    fn end(mut self) -> Result<Recording> {
        let ended = self.stop.ended();
        self.status.update(|status| {
            status.state = State::Stopping;
            status.ended = Some(ended.clone());
        });
        let elapsed = self.wait_for_stragglers();
        self.ask_last();
        let elapsed = elapsed.unwrap_or_else(|| self.progress.started.elapsed());
        let removal = self.source.detach();
        if self.description.is_live() {
            self.drain();
        }
        let sink = &mut self.sink;
        let span = self.source.end(&mut |decoded| sink.take(decoded));
        self.sink.write(membench_profile::Writer::flush);
        self.take_observed(Some(Instant::now() + LAST_ROWS));
        self.report();
        let status = self.status.clone();
        let recording = self.conclude(span.unwrap_or(elapsed), ended, removal);
        status.update(|status| status.state = State::Done);
        recording
    }

    /// Takes what was made before the end and arrives late, and nothing else. Returns how long the recording lasted, if
    /// it ends here.
    fn wait_for_stragglers(&mut self) -> Option<Duration> {
        if self.description.linger.is_zero() {
            return None;
        }
        let elapsed = self.progress.started.elapsed();
        let length = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let begun = self.description.anchor.monotonic_ns;
        self.source.end_at(begun.saturating_add(length));
        let deadline = Instant::now() + self.description.linger;
        while Instant::now() < deadline && self.drain().ended.is_none() {
            std::thread::sleep(DRAIN_PERIODS.1);
        }
        Some(elapsed)
    }

    /// Asks the servers for their counters at the end. The source is drained meanwhile.
    fn ask_last(&mut self) {
        let deadline = Instant::now() + LAST_ANSWERS;
        while !self.inquiry.has_answered(DRAIN_PERIODS.0) && Instant::now() < deadline {
            self.drain();
        }
        self.take_answers(Duration::ZERO);
        if !self.inquiry.ask_again() {
            return;
        }
        let deadline = Instant::now() + LAST_ANSWERS;
        while !self.inquiry.has_answered(DRAIN_PERIODS.0) && Instant::now() < deadline {
            self.drain();
        }
        self.drain();
    }

    fn conclude(
        mut self,
        duration: Duration,
        ended: Ended,
        removal: Option<String>,
    ) -> Result<Recording> {
        let mut ledger = self.ledger();
        let comparison = self.source.compare(&self.inquiry);
        ledger.missed += comparison.unseen;
        self.hand_on_ended();
        self.note_ends();
        let server_runs = self.server_runs();
        let (why_empty, nothing_found) = self.why_empty(&ledger).unzip();
        let connections = self.source.connections();
        let (connections_seen, open_at_start) = (connections.total(), connections.open_at_start());
        let session = self.source.session();
        let silent = session.map_or(0, |session| session.sockets().silent());
        let write_error = self.sink.write_error();
        let sampled_out = self.sink.sampled_out();
        let share_sampled_out = self.sink.take_sampled_out();
        let losses = self.source.take_losses();
        let profiles = self.sink.profiles.as_ref();
        let others = profiles.map(Profiles::others).unwrap_or_default();
        let finished = match self.sink.profiles.take() {
            None => Vec::new(),
            Some(profiles) => {
                let begun = self.description.anchor.monotonic_ns;
                let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                let (finished, failure) = profiles.finish(Cut {
                    now: begun.saturating_add(duration_ns),
                    connections: self.source.connections().open_rows(),
                    losses,
                    ledger: ledger.clone(),
                    sampled_out: share_sampled_out,
                    stopped_by: ended.to_string(),
                    statistics_end: comparison.statistics_end,
                    server_runs: server_runs.clone(),
                });
                failure.map_or(Ok(()), Err)?;
                finished
            }
        };
        let bytes_written = finished.iter().map(|one| one.bytes).sum();
        ledger.unwritten += finished.iter().map(|one| one.not_taken).sum::<u64>();
        ledger.complete = Some(ledger.nothing_lost());
        let tally = self.sink.tally();
        Ok(Recording {
            profile: finished.last().map(|one| one.path.clone()),
            profiles: finished.into_iter().map(|one| one.path).collect(),
            duration_s: duration.as_secs_f64(),
            events: tally.events(),
            requests: self.requests(),
            connections: connections_seen,
            open_at_start,
            silent_connections: silent as u64,
            why_empty,
            nothing_found: nothing_found.unwrap_or(false),
            server_runs,
            others,
            commands: tally.commands(),
            outcomes: tally.outcomes(),
            reads: tally.reads(),
            sample: self.options.sample,
            sampled_out,
            ledger,
            differences: comparison.differences,
            uncompared: comparison.uncompared,
            counters_reset: comparison.reset,
            pace: self.progress.pace.total(),
            cost: Cost::new(
                &tally,
                clock::cpu_s() - self.progress.cpu_at_start,
                bytes_written,
            ),
            ended,
            removal,
            write_error,
        })
    }

    /// Number of requests: a multi-get is one, but a log shows each of its keys as one.
    fn requests(&self) -> u64 {
        let tally = self.sink.tally();
        if self.description.spec.is_log() {
            tally.events()
        } else {
            tally.requests()
        }
    }

    /// Explains why there is no connection, if hooks or packets showed none. The second value is true if there was
    /// nothing that could have been recorded.
    fn why_empty(&self, ledger: &Ledger) -> Option<(String, bool)> {
        let moved = ledger.request_bytes + ledger.response_bytes;
        let own = ledger.own_request_bytes + ledger.own_response_bytes;
        let is_empty = self.source.connections().total() == 0 && moved == own;
        if is_empty && let Some(sightings) = self.source.sightings() {
            let packets = ledger.packets.map_or(0, |packets| packets.taken);
            let spec = self.description.spec.to_string();
            let interface = self.description.is_live().then_some(spec.as_str());
            let reason = empty::reason_of_packets(&self.followed, sightings, packets, interface);
            let is_served = self.description.is_live() && self.has_listened();
            return Some((reason, !is_served));
        }
        (is_empty && self.description.sees_reads()).then(|| {
            let listened = self.has_listened();
            let is_served = listened && self.followed.side == Side::Server;
            (empty::reason(&self.followed, listened), !is_served)
        })
    }

    /// True if a server listens, or has listened, where servers are followed.
    fn has_listened(&self) -> bool {
        !self.runs.is_empty() || !listeners::find(&self.followed).is_empty()
    }
}
