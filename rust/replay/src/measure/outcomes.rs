//! Recorded and replayed outcomes → counts by command, and their differences.

use std::collections::BTreeMap;

use membench_event::{Command, Lookup, Outcome, Reads};
use serde::Serialize;

/// Number of cells in a row: one per outcome, and one for none seen.
const OUTCOMES: usize = Outcome::ALL.len() + 1;

/// Counts of one command.
type Row = [[u64; OUTCOMES]; OUTCOMES];

/// Reported name of an outcome that was not seen.
const NOT_SEEN: &str = "not_seen";

/// Number of operations by command, recorded outcome and replayed outcome. Those that create a missing item are counted
/// apart: they tell what a win means.
#[derive(Clone, Debug)]
pub(crate) struct Transitions {
    counts: Vec<[Row; 2]>,
}

impl Transitions {
    /// Makes a table of zeros.
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![[[[0; OUTCOMES]; OUTCOMES]; 2]; Command::ALL.len()],
        }
    }

    /// Counts one operation; `None` is an outcome that was not seen.
    #[inline]
    pub(crate) fn record(
        &mut self,
        command: Command,
        creates: bool,
        recorded: Option<Outcome>,
        replayed: Option<Outcome>,
    ) {
        let at =
            |outcome: Option<Outcome>| outcome.map_or(OUTCOMES - 1, |outcome| outcome as usize);
        self.counts[command as usize][usize::from(creates)][at(recorded)][at(replayed)] += 1;
    }

    /// Adds the counts of another shard.
    pub(crate) fn merge(&mut self, other: &Self) {
        let cells = self.counts.iter_mut().flatten().flatten().flatten();
        for (count, other) in cells.zip(other.counts.iter().flatten().flatten().flatten()) {
            *count += other;
        }
    }

    /// Returns the counts by name, without zeros.
    pub(crate) fn report(&self) -> Outcomes {
        let mut report = Outcomes::default();
        for (command, [others, creating]) in Command::ALL.iter().zip(&self.counts) {
            report.add_all(*command, false, others);
            report.add_all(*command, true, creating);
        }
        report
    }
}

impl Default for Transitions {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts operations with this outcome among the reads, if they are some. The size of a value is not kept, so every win of
/// operations that create a missing item counts as a miss.
fn add_reads(reads: &mut Reads, command: Command, creates: bool, outcome: usize, count: u64) {
    let outcome = Outcome::ALL.get(outcome).copied();
    if let Some(lookup) = Lookup::new(command, outcome, creates, None) {
        reads.add(lookup, count);
    }
}

fn name(outcome: usize) -> &'static str {
    Outcome::ALL
        .get(outcome)
        .map_or(NOT_SEEN, |outcome| outcome.name())
}

/// Number of operations by command, then by outcome.
pub type OutcomeCounts = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

/// Outcomes of the planned operations, in the recording and in the replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// Outcomes in the recording.
    pub recorded: OutcomeCounts,
    /// Outcomes in the replay.
    pub replayed: OutcomeCounts,
    /// Operations whose outcome changed: command → `recorded -> replayed` → count.
    pub differences: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Keys looked up in the recording, by result.
    pub recorded_reads: Reads,
    /// Keys looked up in the replay, by result.
    pub replayed_reads: Reads,
}

impl Outcomes {
    fn add_all(&mut self, command: Command, creates: bool, rows: &Row) {
        for (recorded, row) in rows.iter().enumerate() {
            for (replayed, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                self.add(command.name(), name(recorded), name(replayed), *count);
                let (before, now) = (&mut self.recorded_reads, &mut self.replayed_reads);
                add_reads(before, command, creates, recorded, *count);
                add_reads(now, command, creates, replayed, *count);
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_counted_by_their_recorded_and_their_replayed_outcome() {
        use Command as C;
        use Outcome as O;

        let mut transitions = Transitions::new();
        let rows = [
            (C::Get, false, Some(O::Suppressed), Some(O::Hit)),
            (C::MetaGet, false, Some(O::Stale), Some(O::Miss)),
            (C::MetaGet, false, Some(O::Won), Some(O::Hit)),
            (C::MetaGet, true, Some(O::Won), Some(O::Won)),
            (C::Get, false, None, Some(O::ServerError)),
            (C::Set, false, Some(O::Stored), Some(O::Stored)),
        ];
        for (command, creates, recorded, replayed) in rows {
            transitions.record(command, creates, recorded, replayed);
        }
        let report = transitions.report();
        let reads = |hits, misses, unseen| Reads {
            hits,
            misses,
            unseen,
        };
        assert_eq!(report.recorded_reads, reads(2, 2, 1));
        assert_eq!(report.replayed_reads, reads(2, 2, 0));
    }
}
