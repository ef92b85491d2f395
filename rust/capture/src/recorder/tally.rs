//! Events → counts by command and outcome.

use std::collections::BTreeMap;

use membench_event::{Command, Event, Outcome, Reads};

/// Counts of the events that have passed.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    events: u64,
    requests: u64,
    reads: Reads,
    commands: [u64; Command::ALL.len()],
    outcomes: [u64; Outcome::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            events: 0,
            requests: 0,
            reads: Reads::default(),
            commands: [0; Command::ALL.len()],
            outcomes: [0; Outcome::ALL.len()],
        }
    }
}

impl Tally {
    /// Counts these events.
    pub(crate) fn add(&mut self, events: &[Event]) {
        self.events += events.len() as u64;
        for event in events {
            self.requests += u64::from(event.request_size.is_some());
            self.commands[event.command as usize] += 1;
            if let Some(lookup) = event.lookup() {
                self.reads.add(lookup, 1);
            }
            if let Some(outcome) = event.outcome {
                self.outcomes[outcome as usize] += 1;
            }
        }
    }

    /// Adds the counts of other events.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Self {
            events,
            requests,
            reads,
            commands,
            outcomes,
        } = other;
        self.events += events;
        self.requests += requests;
        self.reads.merge(*reads);
        for (sum, count) in self.commands.iter_mut().zip(commands) {
            *sum += count;
        }
        for (sum, count) in self.outcomes.iter_mut().zip(outcomes) {
            *sum += count;
        }
    }

    /// Number of events.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Number of requests: a multi-get is one.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Keys looked up, by result.
    pub(crate) fn reads(&self) -> Reads {
        self.reads
    }

    /// Events by command, for commands that occurred.
    pub(crate) fn commands(&self) -> BTreeMap<&'static str, u64> {
        named(
            Command::ALL.iter().map(|command| command.name()),
            &self.commands,
        )
    }

    /// Events by outcome, for outcomes that occurred.
    pub(crate) fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        named(
            Outcome::ALL.iter().map(|outcome| outcome.name()),
            &self.outcomes,
        )
    }
}

fn named(names: impl Iterator<Item = &'static str>, counts: &[u64]) -> BTreeMap<&'static str, u64> {
    names
        .zip(counts.iter().copied())
        .filter(|(_, count)| *count > 0)
        .collect()
}
