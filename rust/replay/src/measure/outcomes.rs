//! Recorded and replayed outcomes → counts by command, and where they differ.

use std::collections::BTreeMap;

use serde::Serialize;

use membench_event::{Command, Outcome};

/// Every outcome, and that none was seen.
const OUTCOMES: usize = Outcome::ALL.len() + 1;

/// Name of an outcome that was not seen.
const NOT_SEEN: &str = "not_seen";

/// How often each recorded outcome of a command became each replayed one.
#[derive(Clone, Debug)]
pub struct Transitions {
    counts: Vec<[[u64; OUTCOMES]; OUTCOMES]>,
}

impl Transitions {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            counts: vec![[[0; OUTCOMES]; OUTCOMES]; Command::ALL.len()],
        }
    }

    /// Counts one operation.
    #[inline]
    pub fn record(
        &mut self,
        command: Command,
        recorded: Option<Outcome>,
        replayed: Option<Outcome>,
    ) {
        let at =
            |outcome: Option<Outcome>| outcome.map_or(OUTCOMES - 1, |outcome| outcome as usize);
        self.counts[command as usize][at(recorded)][at(replayed)] += 1;
    }

    /// Adds another shard's.
    pub fn merge(&mut self, other: &Self) {
        let cells = self.counts.iter_mut().flatten().flatten();
        for (count, other) in cells.zip(other.counts.iter().flatten().flatten()) {
            *count += other;
        }
    }

    /// As reported.
    pub fn report(&self) -> Outcomes {
        let mut report = Outcomes::default();
        for (command, rows) in Command::ALL.iter().zip(&self.counts) {
            for (recorded, row) in rows.iter().enumerate() {
                for (replayed, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                    report.add(command.name(), name(recorded), name(replayed), *count);
                }
            }
        }
        report
    }
}

impl Default for Transitions {
    fn default() -> Self {
        Self::new()
    }
}

fn name(outcome: usize) -> &'static str {
    Outcome::ALL
        .get(outcome)
        .map_or(NOT_SEEN, |outcome| outcome.name())
}

/// Counts by command, then outcome.
pub type Counts = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

/// Outcomes of a replay beside those of the recording; of the operations that were planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// As recorded.
    pub recorded: Counts,
    /// As the target answered.
    pub replayed: Counts,
    /// Operations that ended otherwise: command → `recorded -> replayed` → count.
    pub differences: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

impl Outcomes {
    fn add(
        &mut self,
        command: &'static str,
        recorded: &'static str,
        replayed: &'static str,
        count: u64,
    ) {
        *self
            .recorded
            .entry(command)
            .or_default()
            .entry(recorded)
            .or_default() += count;
        *self
            .replayed
            .entry(command)
            .or_default()
            .entry(replayed)
            .or_default() += count;
        if recorded != replayed {
            let change = format!("{recorded} -> {replayed}");
            *self
                .differences
                .entry(command)
                .or_default()
                .entry(change)
                .or_default() += count;
        }
    }
}
