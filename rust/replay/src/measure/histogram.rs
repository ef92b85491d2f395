//! Durations in ns → HDR histograms by command → percentiles.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use membench_event::Command;

/// Longest duration told apart, ns: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// Significant digits of what is reported.
const DIGITS: u8 = 3;

/// What latency is told apart by: each command, and multi-gets.
pub const CLASSES: usize = Command::ALL.len() + 1;

/// The class of gets of several keys.
pub const MULTI_GET: u8 = 26;

/// The class of a command.
pub fn class_of(command: Command) -> u8 {
    command as u8
}

fn class_name(class: usize) -> &'static str {
    Command::ALL
        .get(class)
        .map_or("mget", |command| command.name())
}

/// An empty histogram over all durations a replay can see.
pub(crate) fn empty(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, digits).expect("constant bounds are valid")
}

/// One kind of duration, by class.
#[derive(Debug)]
pub struct Durations {
    by_class: [Option<Histogram<u64>>; CLASSES],
}

impl Durations {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            by_class: [const { None }; CLASSES],
        }
    }

    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, class: u8, duration: u64) {
        if let Some(slot) = self.by_class.get_mut(usize::from(class)) {
            slot.get_or_insert_with(|| empty(DIGITS))
                .saturating_record(duration);
        }
    }

    /// Adds another shard's.
    pub fn merge(&mut self, other: &Self) {
        for (slot, other) in self.by_class.iter_mut().zip(&other.by_class) {
            if let Some(other) = other {
                add(slot.get_or_insert_with(|| empty(DIGITS)), other);
            }
        }
    }

    /// Percentiles, overall and by command.
    pub fn summary(&self) -> Summary {
        let mut overall = empty(DIGITS);
        let mut by_command = BTreeMap::new();
        for (class, histogram) in self.by_class.iter().enumerate() {
            if let Some(histogram) = histogram {
                add(&mut overall, histogram);
                by_command.insert(class_name(class), Percentiles::of(histogram));
            }
        }
        Summary {
            overall: Percentiles::of(&overall),
            by_command,
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds one histogram to another of the same bounds.
pub(crate) fn add(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    into.add(other)
        .expect("all histograms have the same bounds");
}

/// Percentiles of durations in ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each is the quantile of that name")]
pub struct Percentiles {
    pub p50: u64,
    pub p90: u64,
    pub p95: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub mean: f64,
    pub count: u64,
}

impl Percentiles {
    /// Of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
            mean: histogram.mean(),
            count: histogram.len(),
        }
    }
}

/// One kind of duration, as reported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Over all commands.
    #[serde(flatten)]
    pub overall: Percentiles,
    /// Each command apart; gets of several keys are `mget`.
    pub by_command: BTreeMap<&'static str, Percentiles>,
}
