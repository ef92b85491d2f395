//! Sums and histograms of requests in the kernel → accounts of what came since the last look.

use std::collections::BTreeMap;

use membench_common::observe::{self, BUCKETS, part};

use crate::{
    Account, Quantiles,
    interval::PARTS,
    quantiles::{self, Counts},
};

/// Sums of requests that came.
#[derive(Clone)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    parts: [u64; part::WHOLE],
    /// By part, the whole last.
    histograms: Vec<Counts>,
}

impl Sums {
    pub(crate) fn new() -> Self {
        Self {
            requests: 0,
            parts: [0; part::WHOLE],
            histograms: vec![[0; BUCKETS]; part::COUNT],
        }
    }

    /// Adds what came to an account since an earlier look at it.
    pub(crate) fn add_since(&mut self, before: Option<&observe::Account>, now: &observe::Account) {
        let requests = before.map_or(0, |account| account.requests);
        self.requests += now.requests.saturating_sub(requests);
        for (part, (sum, now)) in self.parts.iter_mut().zip(now.sums).enumerate() {
            let before = before.and_then(|account| account.sums.get(part));
            *sum += now.saturating_sub(before.copied().unwrap_or(0));
        }
        for (part, (to, now)) in self.histograms.iter_mut().zip(&now.histograms).enumerate() {
            let before = before.and_then(|account| account.histograms.get(part));
            for (bucket, (to, now)) in to.iter_mut().zip(now).enumerate() {
                let before = before.and_then(|counts| counts.get(bucket)).copied();
                *to = to.wrapping_add(now.wrapping_sub(before.unwrap_or(0)));
            }
        }
    }

    /// Adds other sums.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        for (to, from) in self.parts.iter_mut().zip(other.parts) {
            *to += from;
        }
        let histograms = self.histograms.iter_mut().zip(&other.histograms);
        for (to, from) in histograms.flat_map(|(to, from)| to.iter_mut().zip(from)) {
            *to = to.wrapping_add(*from);
        }
    }

    /// Returns the time of all parts. The kernel's sum of the whole is the same but for a request that it is just adding.
    pub(crate) fn whole(&self) -> u64 {
        self.parts.iter().sum()
    }

    pub(crate) fn account(&self) -> Account {
        Account {
            requests: self.requests,
            whole_ns: self.whole(),
            parts_ns: named(&self.parts),
            quantiles: self.quantiles(),
        }
    }

    fn quantiles(&self) -> BTreeMap<&'static str, Quantiles> {
        let names = PARTS.iter().copied().chain(["whole"]);
        let parts = names.zip(&self.histograms);
        let used = parts.filter(|(_, counts)| counts.iter().any(|count| *count > 0));
        used.map(|(name, counts)| (name, quantiles::of(counts, self.requests)))
            .collect()
    }
}

/// Returns parts of a request's time with their names.
pub(crate) fn named(parts: &[u64]) -> BTreeMap<&'static str, u64> {
    PARTS.into_iter().zip(parts.iter().copied()).collect()
}
