//! Writes → how long items are to live.

use std::collections::HashMap;

use serde::Serialize;

use super::effect::Effect;
use super::numbers::share;
use super::operation::Operation;
use super::quantiles::{Distribution, Quantiles};

/// Distinct ttls counted apart; one more than that is only in the quantiles.
const DISTINCT: usize = 4096;
/// Most frequent ttls given.
const LISTED: usize = 10;

/// One histogram and up to [`DISTINCT`] counts.
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
    /// Share that never expires (ttl 0), 0…1.
    pub never: Option<f64>,
    /// Share that expires at once (negative), 0…1.
    pub at_once: Option<f64>,
    /// The others, s.
    pub seconds: Option<Quantiles>,
    /// Share of the others that outlasts the recording: their expiry is not in it.
    pub beyond_recording: Option<f64>,
    /// Most frequent ttls.
    pub common: Vec<CommonTtl>,
}

/// One ttl and how often it was sent.
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

    /// `duration`: of the recording, ns.
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
