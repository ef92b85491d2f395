//! Durations in ns → HDR histograms by command → percentiles.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use membench_event::Command;
use serde::Serialize;

/// Longest duration a histogram holds, ns: 146 years, so none saturates.
const LONGEST: u64 = i64::MAX as u64 / 2;

/// Significant decimal digits of the reported histograms.
const DIGITS: u8 = 3;

/// Number of latency classes: one per command, and one for multi-gets.
const CLASSES: usize = Command::ALL.len() + 1;

/// Class of gets of several keys.
pub(crate) const MULTI_GET: u8 = 26;

/// Returns the class of a command.
pub(crate) fn class_of(command: Command) -> u8 {
    command as u8
}

fn class_name(class: usize) -> &'static str {
    Command::ALL
        .get(class)
        .map_or("mget", |command| command.name())
}

/// Returns an empty histogram of durations of any length, with `digits` significant digits.
pub(crate) fn empty(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, digits).expect("constant bounds are valid")
}

/// Histograms of one kind of duration, one per class that occurred.
#[derive(Debug)]
pub(crate) struct Durations {
    by_class: [Option<Histogram<u64>>; CLASSES],
}

impl Durations {
    /// Makes an empty set, which allocates a histogram when its class first occurs.
    pub(crate) fn new() -> Self {
        Self {
            by_class: [const { None }; CLASSES],
        }
    }

    /// Counts one duration, ns.
    #[inline]
    pub(crate) fn record(&mut self, class: u8, duration: u64) {
        if let Some(slot) = self.by_class.get_mut(usize::from(class)) {
            slot.get_or_insert_with(|| empty(DIGITS))
                .saturating_record(duration);
        }
    }

    /// Adds the durations of another shard.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (slot, other) in self.by_class.iter_mut().zip(&other.by_class) {
            if let Some(other) = other {
                add(slot.get_or_insert_with(|| empty(DIGITS)), other);
            }
        }
    }

    /// Returns percentiles, overall and by command.
    pub(crate) fn summary(&self) -> Summary {
        let mut overall = empty(DIGITS);
        let mut by_command = BTreeMap::new();
        for (class, histogram) in self.by_class.iter().enumerate() {
            if let Some(histogram) = histogram {
                add(&mut overall, histogram);
                by_command.insert(class_name(class), Percentiles::new(histogram));
            }
        }
        Summary {
            overall: Percentiles::new(&overall),
            by_command,
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds one histogram to another; both come from [`empty`], so their bounds agree.
pub(crate) fn add(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    into.add(other)
        .expect("all histograms have the same bounds");
}

/// Percentiles of durations in ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median, ns.
    pub p50: u64,
    /// 90th percentile, ns.
    pub p90: u64,
    /// 95th percentile, ns.
    pub p95: u64,
    /// 99th percentile, ns.
    pub p99: u64,
    /// 99.9th percentile, ns.
    pub p999: u64,
    /// Longest duration, ns.
    pub max: u64,
    /// Arithmetic mean, ns.
    pub mean: f64,
    /// Number of durations.
    pub count: u64,
}

impl Percentiles {
    /// Reads the percentiles of a histogram.
    fn new(histogram: &Histogram<u64>) -> Self {
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

/// Percentiles of one kind of duration, overall and by command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Percentiles over all commands.
    #[serde(flatten)]
    pub overall: Percentiles,
    /// Percentiles of each command; gets of several keys are listed as `mget`.
    pub by_command: BTreeMap<&'static str, Percentiles>,
}
