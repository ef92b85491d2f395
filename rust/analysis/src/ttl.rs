//! Writes → the expiry times that clients ask for.

use std::collections::HashMap;

use serde::Serialize;

use super::effect::Effect;
use super::numbers::share;
use super::operation::Operation;
use super::quantiles::{Distribution, Quantiles};

/// Most distinct ttls that are counted separately; further ones only enter the quantiles.
const DISTINCT: usize = 4096;
/// Number of most frequent ttls to list.
const LISTED: usize = 10;

/// Counts of ttls: one histogram and up to [`DISTINCT`] counters.
#[derive(Default)]
pub(super) struct TtlCounts {
    never: u64,
    at_once: u64,
    seconds: Distribution,
    counts: HashMap<u32, u64>,
}

/// Expiry times as sent by writes and touches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ttl {
    /// Commands that set an expiry.
    pub count: u64,
    /// Share of ttl 0, which never expires, 0…1.
    pub never: Option<f64>,
    /// Share of negative ttls, which expire at once, 0…1.
    pub at_once: Option<f64>,
    /// Positive ttls, s.
    pub seconds: Option<Quantiles>,
    /// Share of the positive ttls that exceed the duration of the recording, 0…1.
    pub beyond_recording: Option<f64>,
    /// Most frequent positive ttls, most frequent first.
    pub common: Vec<CommonTtl>,
}

/// One ttl and its share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CommonTtl {
    /// The ttl, s.
    pub seconds: u32,
    /// Share of the commands that set an expiry, 0…1.
    pub share: f64,
}

impl TtlCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        let Some((ttl, access)) = operation.event.ttl.zip(operation.access) else {
            return;
        };
        if matches!(access.effect, Effect::Nothing | Effect::Remove) {
            return;
        }
        match u32::try_from(ttl) {
            Ok(0) => self.never += 1,
            Ok(seconds) => self.expiring(seconds),
            Err(_) => self.at_once += 1,
        }
    }

    fn expiring(&mut self, seconds: u32) {
        self.seconds.record(u64::from(seconds));
        if self.counts.len() < DISTINCT || self.counts.contains_key(&seconds) {
            *self.counts.entry(seconds).or_default() += 1;
        }
    }

    /// Summarises the ttls of a recording that took `duration` ns.
    pub(super) fn finish(&self, duration: u64) -> Ttl {
        let seconds = self.seconds.finish();
        let expiring = seconds.as_ref().map_or(0, |seconds| seconds.count);
        let count = self.never + self.at_once + expiring;
        let counted = self.counts.iter();
        let beyond = counted.filter(|&(&ttl, _)| u64::from(ttl) * 1_000_000_000 > duration);
        Ttl {
            count,
            never: share(self.never, count),
            at_once: share(self.at_once, count),
            beyond_recording: share(
                beyond.map(|(_, count)| count).sum(),
                self.counts.values().sum(),
            ),
            common: self.common(count),
            seconds,
        }
    }

    fn common(&self, total: u64) -> Vec<CommonTtl> {
        let mut ranked: Vec<_> = self
            .counts
            .iter()
            .map(|(&ttl, &count)| (count, ttl))
            .collect();
        ranked.sort_unstable_by_key(|&(count, ttl)| (std::cmp::Reverse(count), ttl));
        ranked.truncate(LISTED);
        let shares = ranked.iter().filter_map(|&(count, seconds)| {
            share(count, total).map(|share| CommonTtl { seconds, share })
        });
        shares.collect()
    }
}
