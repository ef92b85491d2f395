//! Accesses → hit ratio of an LRU cache of any size: the exact curve, from reuse distances.

use serde::Serialize;

use super::curve::{Curve, Knee, Point, Reads};
use super::effect::Effect;
use super::items::{Access, Before};
use super::numbers::share;
use super::operation::Operation;
use super::quantiles::{Distribution, Quantiles};
use super::stack::Stack;

/// Reuse distances of all reads: 28 to 48 bytes per distinct key, and 1.3 MB for the curve.
#[derive(Default)]
pub(super) struct MemoryUse {
    stack: Stack,
    curve: Curve,
    reuse_keys: Distribution,
    unknown: Reads,
    certain_misses: Reads,
    /// Sampling factor N of a recording of one key in N, by which distances are multiplied. 0 means 1.
    one_in: u64,
}

/// Hit ratio by memory size, if one LRU list held all items. memcached's segmented LRU with slab classes comes close.
///
/// Reads are taken as recorded. A read that misses only in a smaller cache is assumed to be followed by a write, as
/// clients usually do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Reads in the curve.
    pub reads: u64,
    /// Share of reads whose item was last used before the recording, 0…1. The recording does not show at which sizes
    /// they hit.
    pub unknown: Option<f64>,
    /// Share of reads that miss at any size, because the item was deleted, had expired or was never stored, 0…1.
    pub certain_misses: Option<f64>,
    /// Largest reuse distance in the recording, bytes. Beyond it the curve is flat for lack of knowledge.
    pub known_to_bytes: u64,
    /// Point of diminishing returns: the point of the curve farthest above the straight line to its end.
    pub knee: Option<Knee>,
    /// Smallest size within 0.01 of the best hit ratio known, bytes.
    pub nearly_best_bytes: Option<u64>,
    /// Hit ratio for powers of two of `-m`, up to the first that holds everything.
    pub sizes: Vec<Point>,
    /// The curve, at eight sizes per octave.
    pub miss_ratio_curve: Vec<Point>,
    /// Distinct keys used between two uses of a key, including the key itself.
    pub reuse_distance_keys: Option<Quantiles>,
}

impl MemoryUse {
    /// Scales distances for a recording of one key in `one_in` (SHARDS, FAST'15).
    pub(super) fn with_sampling(self, one_in: u32) -> Self {
        Self {
            one_in: u64::from(one_in),
            ..self
        }
    }

    pub(super) fn observe(&mut self, operation: &Operation) {
        let Some(access) = operation.access else {
            return;
        };
        if let Effect::Read { found } = access.effect {
            self.read(&access, found);
        }
        if access.stored {
            self.stack.push(access.key, access.new.footprint);
        } else {
            self.stack.remove(access.key);
        }
    }

    fn read(&mut self, access: &Access, found: Option<bool>) {
        let bytes = u64::from(access.new.footprint);
        let distance = self.stack.distance(access.key);
        match distance.filter(|_| access.before == Before::Stored) {
            Some(distance) => {
                let one_in = self.one_in.max(1);
                let others = distance.bytes.saturating_sub(bytes);
                self.reuse_keys
                    .record(distance.items.saturating_sub(1) * one_in + 1);
                self.curve.record(others * one_in + bytes, bytes);
            }
            None if found == Some(true) || (found.is_none() && access.before == Before::Unseen) => {
                self.unknown.add(bytes);
            }
            None => self.certain_misses.add(bytes),
        }
    }

    pub(super) fn finish(&self) -> Memory {
        let curve = self.curve.accumulate(self.unknown, self.certain_misses);
        let reads = curve.reads;
        Memory {
            reads,
            unknown: share(self.unknown.count, reads),
            certain_misses: share(self.certain_misses.count, reads),
            known_to_bytes: curve.known_to_bytes(),
            knee: curve.knee(),
            nearly_best_bytes: curve.nearly_best(),
            sizes: curve.powers_of_two_megabytes(),
            miss_ratio_curve: curve.points(),
            reuse_distance_keys: self.reuse_keys.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::synthetic::get;
    use super::super::{Context, ItemSize, Options, analyze_events};
    use membench_event::Sample;

    /// Simulates the definition of an LRU cache: a list of (key, size), least recently used first.
    fn simulate(reads: &[(u64, u32)], capacity: u64) -> u64 {
        let (mut list, mut used, mut hits) = (VecDeque::<(u64, u64)>::new(), 0, 0);
        for &(key, size) in reads {
            if let Some(at) = list.iter().position(|it| it.0 == key) {
                used -= list[at].1;
                list.remove(at);
                hits += 1;
            }
            list.push_back((key, u64::from(size)));
            used += u64::from(size);
            while used > capacity {
                used -= list.pop_front().map_or(0, |it| it.1);
            }
        }
        hits
    }

    /// Reads of skewed keys, each of a fixed size.
    fn reads() -> Vec<(u64, u32)> {
        let mut state = 1_u64;
        let random = std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 33
        });
        let keys = random.map(|it| (it % 600) * (it / 600 % 600) / 600);
        let sized = keys.map(|key| (key, u32::try_from(key % 97).unwrap_or(0) * 200 + 1000));
        sized.take(20_000).collect()
    }

    #[test]
    fn the_curve_equals_a_simulated_lru_cache_of_every_size() {
        let reads = reads();
        let events = reads.iter().zip(0..).map(|(&(key, size), request)| {
            let mut event = get(request, key, Some(size));
            event.key_size = None;
            event.outcome = None;
            Ok(event)
        });
        let options = Options {
            item_size: ItemSize::KeyAndValue,
            ..Options::default()
        };
        let analysis = analyze_events(events, &Context::default(), &options);
        let memory = analysis.ok().and_then(|it| it.memory).expect("asked for");
        let count = f64::from(u32::try_from(reads.len()).unwrap_or(0));
        assert!(memory.miss_ratio_curve.len() > 20);
        for point in memory
            .miss_ratio_curve
            .iter()
            .chain(&memory.sizes)
            .filter(|it| it.bytes >= 40_000)
        {
            let hits = f64::from(u32::try_from(simulate(&reads, point.bytes)).unwrap_or(0));
            assert!(
                (point.hit_ratio - hits / count).abs() < 1e-9,
                "{point:?} {hits}"
            );
        }
    }

    #[test]
    fn a_sample_of_the_keys_gives_nearly_the_curve_of_all() {
        let reads = reads();
        let sample = Sample {
            keys: 4,
            connections: 1,
        };
        // Key ids must be evenly spread.
        let id = |key: u64| (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let held = reads.iter().filter(|(key, _)| sample.holds_key(id(*key)));
        let events = held.zip(0..).map(|(&(key, size), request)| {
            let mut event = get(request, key, Some(size));
            event.key_size = None;
            event.outcome = None;
            Ok(event)
        });
        let options = Options {
            item_size: ItemSize::KeyAndValue,
            ..Options::default()
        };
        let context = Context {
            sample,
            ..Context::default()
        };
        let analysis = analyze_events(events, &context, &options);
        let memory = analysis.ok().and_then(|it| it.memory).expect("asked for");
        let count = f64::from(u32::try_from(reads.len()).unwrap_or(0));
        let errors = memory.miss_ratio_curve.iter().map(|point| {
            let hits = f64::from(u32::try_from(simulate(&reads, point.bytes)).unwrap_or(0));
            (point.hit_ratio - hits / count).abs()
        });
        let errors: Vec<f64> = errors.collect();
        let mean = errors.iter().sum::<f64>() / f64::from(u32::try_from(errors.len()).unwrap_or(1));
        assert!(
            memory.known_to_bytes > 2_000_000,
            "{}",
            memory.known_to_bytes
        );
        assert!(mean < 0.03, "{mean}");
    }
}
