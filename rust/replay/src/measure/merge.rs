//! Histograms of several runs → those of all of them, and their percentiles.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::Measures;
use crate::measure::histogram::{Durations, StoredDurations, Summary};

/// Histograms of a run, by kind of duration: `response`, `service`, `wire`, `client`, `lag`.
pub type StoredHistograms = BTreeMap<String, StoredDurations>;

/// Histograms added up, and their percentiles by kind of duration.
#[derive(Clone, Debug, Serialize)]
pub struct MergedHistograms {
    /// Percentiles by kind of duration.
    pub summaries: BTreeMap<String, Summary>,
    /// Histograms by kind of duration.
    pub histograms: StoredHistograms,
}

/// Writes the histograms of a run.
pub(crate) fn stored(measures: &Measures) -> StoredHistograms {
    [
        ("response", &measures.response),
        ("service", &measures.service),
        ("wire", &measures.wire),
        ("client", &measures.client),
        ("lag", &measures.lag),
    ]
    .into_iter()
    .map(|(kind, durations)| (kind.to_owned(), durations.stored()))
    .collect()
}

/// Adds the histograms of runs, exactly: the sum is that of one run that measured everything. `None` if some text holds
/// no histogram.
pub fn merge(runs: &[StoredHistograms]) -> Option<MergedHistograms> {
    let mut sums: BTreeMap<String, Durations> = BTreeMap::new();
    for run in runs {
        for (kind, stored) in run {
            sums.entry(kind.clone()).or_default().add_stored(stored)?;
        }
    }
    let each = |(kind, durations): (&String, &Durations)| (kind.clone(), durations.summary());
    Some(MergedHistograms {
        summaries: sums.iter().map(each).collect(),
        histograms: sums
            .iter()
            .map(|(kind, durations)| (kind.clone(), durations.stored()))
            .collect(),
    })
}
