//! The end of a recording from a log: the ledger, the comparison with the server's counters, the sealed profile.

use std::time::Duration;

use membench_event::{Command, Ledger, Outcome};
use membench_profile::End;
use serde_json::{Value, json};

use super::running::Running;
use crate::recorder::thread::ratio;
use crate::recorder::{Cost, Difference, Recording};
use crate::server::difference::{Recorded, differences, growth};
use crate::server::statistics::Statistics;
use crate::{Pace, Result, clock};

impl Running {
    /// How long was recorded: of a stored log, what it spans.
    pub(super) fn duration(&self) -> Duration {
        match self.server {
            Some(_) => self.started.elapsed(),
            None => Duration::from_nanos(self.last_ns - self.anchor.monotonic_ns),
        }
    }

    pub(super) fn conclude(
        mut self,
        duration: Duration,
        after: Option<&Statistics>,
    ) -> Result<Recording> {
        let stopped_by = self.stop.reason();
        let mut ledger = self.ledger(after);
        let differences = self.differences(after);
        let connections = self.log.connections().to_vec();
        let open_at_start = connections
            .iter()
            .filter(|row| row.opened.is_none())
            .count() as u64;
        let count = connections.len() as u64;
        let mut bytes_written = 0;
        if let Some(writer) = self.writer.take() {
            let manifest = writer.finish(End {
                connections,
                losses: Vec::new(),
                ledger: ledger.clone(),
                sampled_out: 0,
                statistics_end: self.statistics_end(after),
                stopped_by: stopped_by.clone(),
                duration_ns: u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
            })?;
            bytes_written = manifest.parts.iter().map(|part| part.bytes).sum();
            ledger = manifest.ledger;
        }
        let cpu_s = clock::cpu_s() - self.cpu_before;
        let events = self.tally.events();
        Ok(Recording {
            profiles: self.options.output.iter().cloned().collect(),
            profile: self.options.output,
            duration_s: duration.as_secs_f64(),
            events,
            requests: events,
            connections: count,
            open_at_start,
            empty: None,
            commands: self.tally.commands(),
            outcomes: self.tally.outcomes(),
            ledger,
            sample: self.options.sample,
            sampled_out: 0,
            differences,
            not_compared: 0,
            pace: Pace::default(),
            cost: Cost {
                cpu_s,
                ns_per_event: (events > 0).then(|| cpu_s * 1e9 / ratio(events, 1)),
                bytes_written,
                bytes_per_event: (events > 0).then(|| ratio(bytes_written, events)),
            },
            stopped_by,
            left_behind: None,
            write_error: self.write_error,
        })
    }

    fn ledger(&self, after: Option<&Statistics>) -> Ledger {
        let counts = self.log.counts();
        let grown = |name| match (self.before(), after) {
            (Some(start), Some(end)) => growth(start, end, name),
            _ => 0,
        };
        let mut ledger = Ledger {
            log_lines: counts.lines,
            // What was skipped last is told by no line; the counter is all watchers', so it is asked only when alone.
            log_skipped: if self.alone(after) {
                counts.skipped.max(grown("log_watcher_skipped"))
            } else {
                counts.skipped
            },
            log_dropped: grown("log_worker_dropped").max(self.dropped),
            log_unparsed: counts.unparsed,
            log_clock_steps: counts.clock_steps,
            boundary: counts.boundary,
            user_queue_drops: self.drops,
            ..Ledger::default()
        };
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }

    fn before(&self) -> Option<&Statistics> {
        let (_, said) = self.server.as_ref()?.statistics.as_ref()?;
        Some(said)
    }

    /// Whether no one else watches this server: `stats` was asked while this recording watched.
    fn alone(&self, after: Option<&Statistics>) -> bool {
        let watchers = |of: Option<&Statistics>| of.and_then(|said| said.counter("log_watchers"));
        [self.before(), after]
            .map(watchers)
            .iter()
            .flatten()
            .all(|watchers| *watchers <= 1)
    }

    fn differences(&self, after: Option<&Statistics>) -> Vec<Difference> {
        let (Some(server), Some(start), Some(end)) = (&self.server, self.before(), after) else {
            return Vec::new();
        };
        differences(server.port, start, end, self.recorded())
    }

    fn recorded(&self) -> Recorded {
        let commands = self.tally.commands();
        let of = |command: Command| commands.get(command.name()).copied().unwrap_or(0);
        let refused = self
            .tally
            .outcomes()
            .get(Outcome::ServerError.name())
            .copied();
        let lookups = of(Command::Get) + of(Command::Delete) + of(Command::MetaDelete);
        Recorded {
            lookups,
            stores: self.tally.events() - lookups - refused.unwrap_or(0),
        }
    }

    fn statistics_end(&self, after: Option<&Statistics>) -> Value {
        match (&self.server, after) {
            (Some(server), Some(said)) => json!({ server.name.as_str(): said }),
            _ => Value::Null,
        }
    }
}
