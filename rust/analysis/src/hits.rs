//! Reads → hit ratio by command and over time.

use serde::Serialize;

use membench_event::Reads;

use super::numbers::share;
use super::operation::{Kind, Operation};
use super::series::{Bucket, Buckets, Series};

/// Read counts by command and over time, in constant memory.
#[derive(Default)]
pub(super) struct HitCounts {
    by_kind: [Reads; Kind::COUNT],
    buckets: Buckets<Reads>,
}

/// Hit ratios. A multi-get of N keys counts as N reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hits {
    /// All reading commands together.
    pub all: HitRatio,
    /// Each reading command, most reads first.
    pub by_command: Vec<HitRatio>,
    /// Hit ratio over time; `None` for intervals without reads.
    pub over_time: Series<Option<f64>>,
}

/// Reads of one command and their hits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HitRatio {
    /// Name of the command, `mget` for a `get` of several keys; `all` for the total.
    pub command: &'static str,
    /// Reads whose response was seen.
    pub reads: u64,
    /// Reads that found their item.
    pub hits: u64,
    /// Hits over reads, 0…1; `None` without reads.
    pub ratio: Option<f64>,
    /// Reads whose response was not seen; they count neither as reads nor as hits.
    pub unseen: u64,
}

impl HitCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        let Some(lookup) = operation
            .event
            .lookup()
            .filter(|_| operation.access.is_some())
        else {
            return;
        };
        self.by_kind[operation.kind.index()].add(lookup, 1);
        self.buckets.bucket(operation.time).add(lookup, 1);
    }

    pub(super) fn finish(&self) -> Hits {
        let all = self
            .by_kind
            .iter()
            .copied()
            .fold(Reads::default(), Bucket::join);
        let mut by_command: Vec<_> = Kind::all()
            .zip(&self.by_kind)
            .filter(|(_, reads)| reads.seen() + reads.unseen > 0)
            .map(|(kind, reads)| ratio(kind.name(), reads))
            .collect();
        by_command.sort_by_key(|ratio| std::cmp::Reverse(ratio.reads));
        Hits {
            all: ratio("all", &all),
            by_command,
            over_time: self
                .buckets
                .finish(|reads, _| share(reads.hits, reads.seen())),
        }
    }
}

fn ratio(command: &'static str, reads: &Reads) -> HitRatio {
    HitRatio {
        command,
        reads: reads.seen(),
        hits: reads.hits,
        ratio: share(reads.hits, reads.seen()),
        unseen: reads.unseen,
    }
}

impl Bucket for Reads {
    fn join(self, later: Self) -> Self {
        Self {
            hits: self.hits + later.hits,
            misses: self.misses + later.misses,
            unseen: self.unseen + later.unseen,
        }
    }
}
