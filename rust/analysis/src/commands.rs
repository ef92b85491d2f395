//! Operations → the requests and outcomes of each command.

use serde::Serialize;

use super::numbers::{float, share};
use super::operation::{Kind, Operation};
use membench_event::Outcome;

/// Counts by command, in constant memory.
#[derive(Default)]
pub(super) struct CommandCounts {
    counts: [Count; Kind::COUNT],
}

#[derive(Clone, Copy, Default)]
struct Count {
    requests: u64,
    events: u64,
    outcomes: [u64; Outcome::ALL.len()],
    unseen: u64,
}

/// One command's share of the requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandShare {
    /// Name of the command; a `get` of several keys is `mget`, a `gets` of several keys `mgets`.
    pub command: &'static str,
    /// Requests.
    pub requests: u64,
    /// Operations, one per key.
    pub events: u64,
    /// Share of all requests, 0…1.
    pub share: f64,
    /// Mean number of keys per request.
    pub keys_per_request: f64,
    /// Operations by outcome; only outcomes that occurred.
    pub outcomes: Vec<OutcomeCount>,
    /// Operations whose response was not seen.
    pub unseen: u64,
}

/// Number of operations with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeCount {
    /// `hit`, `miss`, `stored`, …
    pub outcome: &'static str,
    /// Operations.
    pub count: u64,
}

impl CommandCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        let count = &mut self.counts[operation.kind.index()];
        count.requests += u64::from(operation.first);
        count.events += 1;
        match operation.event.outcome {
            Some(outcome) => count.outcomes[outcome as usize] += 1,
            None => count.unseen += 1,
        }
    }

    /// Returns the commands that occurred, most frequent first.
    pub(super) fn finish(&self) -> Vec<CommandShare> {
        let total = self.counts.iter().map(|count| count.requests).sum();
        let mut shares: Vec<_> = Kind::all()
            .zip(&self.counts)
            .filter(|(_, count)| count.events > 0)
            .map(|(kind, count)| count.share(kind, total))
            .collect();
        shares.sort_by_key(|share| std::cmp::Reverse(share.requests));
        shares
    }
}

impl Count {
    fn share(&self, kind: Kind, total: u64) -> CommandShare {
        let outcomes = Outcome::ALL.iter().zip(self.outcomes);
        CommandShare {
            command: kind.name(),
            requests: self.requests,
            events: self.events,
            share: share(self.requests, total).unwrap_or(0.0),
            keys_per_request: float(self.events) / float(self.requests.max(1)),
            outcomes: outcomes
                .filter(|(_, count)| *count > 0)
                .map(|(outcome, count)| OutcomeCount {
                    outcome: outcome.name(),
                    count,
                })
                .collect(),
            unseen: self.unseen,
        }
    }
}
