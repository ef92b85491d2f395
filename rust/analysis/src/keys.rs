//! Operations on keys → popularity: how unequally keys are used.

use serde::Serialize;

use super::effect::Effect;
use super::numbering::Numbering;
use super::numbers::{count, share};
use super::operation::Operation;
use super::zipf::{self, Zipf};

/// Number of most popular keys to list.
const LISTED: usize = 20;
/// Numbers of top keys whose share of the uses is reported.
const TOPS: [usize; 5] = [1, 10, 100, 1000, 10_000];
/// Largest number of uses whose share of the keys is reported.
const USES: u32 = 8;

/// Use counts, 8 bytes per distinct key.
#[derive(Default)]
pub(super) struct KeyCounts {
    uses: Vec<Uses>,
}

#[derive(Clone, Copy, Default)]
struct Uses {
    reads: u32,
    all: u32,
}

/// Popularity of keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Keys {
    /// Distinct keys, in any command.
    pub distinct: u64,
    /// Operations that count as uses: `reads`, or `all commands` if nothing was read.
    pub counted: &'static str,
    /// Distinct keys with a use.
    pub used: u64,
    /// Uses of all keys.
    pub uses: u64,
    /// Mean uses per used key.
    pub mean_uses: Option<f64>,
    /// Share of the used keys that were used exactly once, 0…1.
    pub used_once: Option<f64>,
    /// Shares of the used keys that were used exactly 1, 2, 3, … times, 0…1.
    pub used_times: Vec<f64>,
    /// Shares of the uses that the most popular keys take.
    pub top: Vec<TopShare>,
    /// Zipf's exponent; `None` if all keys are used equally often.
    pub zipf: Option<Zipf>,
    /// The most popular keys, most used first.
    pub hottest: Vec<HotKey>,
}

/// Share of uses that the `keys` most popular keys take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TopShare {
    /// Number of keys.
    pub keys: u64,
    /// Their share of the uses, 0…1.
    pub share: f64,
}

/// One popular key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HotKey {
    /// Keyed id of the key, 16 hexadecimal digits.
    pub key: String,
    /// Uses of the key.
    pub uses: u64,
    /// Its share of all uses, 0…1.
    pub share: f64,
}

impl KeyCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        let Some(access) = operation.access else {
            return;
        };
        if access.key >= self.uses.len() {
            self.uses.resize(access.key + 1, Uses::default());
        }
        let uses = &mut self.uses[access.key];
        uses.all = uses.all.saturating_add(1);
        if matches!(access.effect, Effect::Read { .. }) {
            uses.reads = uses.reads.saturating_add(1);
        }
    }

    pub(super) fn finish(&self, numbering: &Numbering) -> Keys {
        let (counted, ranked) = self.ranked();
        let frequencies: Vec<u32> = ranked.iter().map(|&(uses, _)| uses).collect();
        let total = frequencies.iter().map(|&uses| u64::from(uses)).sum();
        let used = count(frequencies.len());
        Keys {
            distinct: count(self.uses.len()),
            counted,
            used,
            uses: total,
            mean_uses: share(total, used),
            used_once: share(used_exactly(&frequencies, 1), used),
            used_times: (1..=USES)
                .filter_map(|times| share(used_exactly(&frequencies, times), used))
                .collect(),
            top: top(&frequencies, total),
            zipf: zipf::fit(&frequencies),
            hottest: hottest(&ranked, total, numbering),
        }
    }

    /// Returns the operations that count, and (uses, ordinal) of every used key, most used first.
    fn ranked(&self) -> (&'static str, Vec<(u32, usize)>) {
        let any_read = self.uses.iter().any(|uses| uses.reads > 0);
        let counted = |uses: &Uses| if any_read { uses.reads } else { uses.all };
        let all = self.uses.iter().map(counted).zip(0..);
        let mut ranked: Vec<_> = all.filter(|&(uses, _)| uses > 0).collect();
        ranked.sort_unstable_by_key(|&(uses, key)| (std::cmp::Reverse(uses), key));
        (if any_read { "reads" } else { "all commands" }, ranked)
    }
}

/// Counts the keys used exactly this often. `frequencies` must be in descending order.
fn used_exactly(frequencies: &[u32], times: u32) -> u64 {
    let at_least = |times| frequencies.partition_point(|&uses| uses >= times);
    count(at_least(times) - at_least(times + 1))
}

fn top(frequencies: &[u32], total: u64) -> Vec<TopShare> {
    let shares = TOPS.iter().filter(|&&keys| keys <= frequencies.len());
    shares
        .filter_map(|&keys| {
            let uses = frequencies[..keys]
                .iter()
                .map(|&uses| u64::from(uses))
                .sum();
            Some(TopShare {
                keys: count(keys),
                share: share(uses, total)?,
            })
        })
        .collect()
}

fn hottest(ranked: &[(u32, usize)], total: u64, numbering: &Numbering) -> Vec<HotKey> {
    let ranked = &ranked[..ranked.len().min(LISTED)];
    let ordinals: Vec<_> = ranked.iter().map(|&(_, key)| key).collect();
    let ids = numbering.ids(&ordinals);
    ids.iter()
        .zip(ranked)
        .filter_map(|(id, &(uses, _))| {
            Some(HotKey {
                key: format!("{id:016x}"),
                uses: u64::from(uses),
                share: share(u64::from(uses), total)?,
            })
        })
        .collect()
}
