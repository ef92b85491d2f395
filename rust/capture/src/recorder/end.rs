//! A recording's end: last answers, what is open settled, the profile sealed, and what it all came to.

use std::time::{Duration, Instant};

use membench_event::Ledger;
use membench_profile::End;

use crate::recorder::pace::DRAIN_PERIODS;
use crate::recorder::status::State;
use crate::recorder::thread::{Running, ratio};
use crate::recorder::{Cost, Difference, Recording, empty};
use crate::selection::listeners;
use crate::{Result, Side, clock};

/// How long servers may take for their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

impl Running {
    /// Asks the last questions, detaches, settles what is open and seals.
    pub(crate) fn end(mut self) -> Result<Recording> {
        self.status.update(|status| status.state = State::Stopping);
        let stopped_by = self.stop.reason();
        if self.options.statistics {
            self.ask_last();
        }
        let duration = self.started.elapsed();
        self.session.ends(clock::monotonic_ns());
        self.source.detach();
        if self.source.is_live() {
            self.drain();
        }
        self.source.end(&mut self.session);
        self.hand_on();
        self.flush();
        let duration = self.source.span().unwrap_or(duration);
        let ledger = self.source.ledger(&self.session);
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
        let (differences, not_compared) = self.differences();
        let empty = self.empty(&ledger);
        let mut pace = self.pace_before;
        pace.add(self.pace);
        let sampled_out = self.session.sampled_out();
        let left_behind = self.source.left_behind();
        let last = End {
            statistics_end: self.asking.statistics_end(),
            stopped_by: stopped_by.clone(),
            sampled_out: self.session.take_sampled_out(),
            ..End::default()
        };
        let (connections, _, losses) = self.session.into_tables();
        let open_at_start = connections
            .iter()
            .filter(|row| row.opened.is_none())
            .count() as u64;
        let count = connections.len() as u64;
        let mut finished = Vec::new();
        if let (Some(writer), Some(rotation)) = (self.writer.take(), self.rotation.take()) {
            let end = End {
                connections: rotation.rows_of(&connections),
                losses,
                ledger: rotation.share_of(&ledger),
                duration_ns: rotation.duration_ns(self.started + duration),
                ..last
            };
            let (all, failure) = rotation.end(writer, end);
            failure.map_or(Ok(()), Err)?;
            finished = all;
        }
        let bytes_written = finished.iter().map(|one| one.bytes).sum();
        ledger.user_queue_drops += finished.iter().map(|one| one.not_taken).sum::<u64>();
        ledger.complete = Some(ledger.nothing_lost());
        let cpu_s = clock::cpu_s() - self.cpu_before;
        let events = self.tally.events();
        Ok(Recording {
            profile: finished.last().map(|one| one.path.clone()),
            profiles: finished.into_iter().map(|one| one.path).collect(),
            duration_s: duration.as_secs_f64(),
            events,
            requests: self.tally.requests(),
            connections: count,
            open_at_start,
            empty,
            commands: self.tally.commands(),
            outcomes: self.tally.outcomes(),
            sample: self.options.sample,
            sampled_out,
            ledger,
            differences,
            not_compared,
            pace,
            cost: Cost {
                cpu_s,
                ns_per_event: (events > 0).then(|| cpu_s * 1e9 / ratio(events, 1)),
                bytes_written,
                bytes_per_event: (events > 0).then(|| ratio(bytes_written, events)),
            },
            stopped_by,
            left_behind,
            write_error: self.write_error,
        })
    }

    /// Why there is no connection, where the hooks saw none.
    fn empty(&self, ledger: &Ledger) -> Option<String> {
        let moved = ledger.request_bytes + ledger.response_bytes;
        let own = ledger.own_request_bytes + ledger.own_response_bytes;
        let is_empty = self.session.sockets().connections().is_empty() && moved == own;
        (is_empty && self.source.sees_reads()).then(|| {
            let listened = !self.status.get().servers.is_empty()
                || !listeners::find(&self.followed).is_empty();
            empty::reason(&self.followed, listened)
        })
    }

    /// The servers' counters beside what was recorded, and how many servers there is nothing to compare with. Counters
    /// speak of all connections: there is no comparison where some were left out.
    fn differences(&self) -> (Vec<Difference>, u64) {
        if !self.options.statistics
            || self.options.sample.connections > 1
            || self.followed.side == Side::Client
            || !self.source.sees_reads()
        {
            return (Vec::new(), 0);
        }
        let compared = self
            .asking
            .compare(self.session.sockets(), self.session.marks());
        let both = compared.iter().flat_map(|of| {
            [
                Difference {
                    port: of.port,
                    path: of.path.clone(),
                    counter: "bytes_read",
                    server: of.bytes_read,
                    recorded: of.request_bytes,
                },
                Difference {
                    port: of.port,
                    path: of.path.clone(),
                    counter: "bytes_written",
                    server: of.bytes_written,
                    recorded: of.response_bytes,
                },
            ]
        });
        let servers = self.session.sockets().servers().len();
        let rest = servers.saturating_sub(compared.len());
        (both.collect(), rest as u64)
    }
}
