//! Accesses → hit ratio of an LRU cache of any size: the exact curve, from reuse distances.

use serde::Serialize;

use super::curve::{Curve, Knee, Point};
use super::effect::Effect;
use super::items::{Access, Before};
use super::numbers::share;
use super::operation::Operation;
use super::quantiles::{Distribution, Quantiles};
use super::stack::Stack;

/// 28 to 48 bytes a distinct key, and the curve's 1.3 MB.
#[derive(Default)]
pub(super) struct MemoryUse {
    stack: Stack,
    curve: Curve,
    reuse_keys: Distribution,
    unknown: Reads,
    certain_misses: Reads,
    /// One key in so many was recorded: between two uses of one lie so many times more of the others; 0 counts as 1.
    one_in: u64,
}

/// Reads, and the bytes of their items.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// Hit ratio by memory size. One LRU list holds all items; memcached's segmented LRU and slab classes come near.
/// Reads are taken as recorded; one that misses in a smaller cache is taken to be followed by a write, as clients do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Reads the curve is made of.
    pub reads: u64,
    /// Share of reads whose item was last used before the recording, 0…1: they hit at sizes it cannot tell.
    pub unknown: Option<f64>,
    /// Share of reads that miss at any size: never stored, deleted, or expired, 0…1.
    pub certain_misses: Option<f64>,
    /// Largest size about which the recording says anything, bytes: beyond, the curve is flat for lack of knowledge.
    pub known_to_bytes: u64,
    /// Where more memory stops paying: the point of the curve farthest above the straight line to its end.
    pub knee: Option<Knee>,
    /// Smallest size within 0.01 of the best hit ratio known, bytes.
    pub nearly_best_bytes: Option<u64>,
    /// Hit ratio for powers of two of `-m`, up to the first that holds everything.
    pub sizes: Vec<Point>,
    /// The curve, eight sizes an octave.
    pub miss_ratio_curve: Vec<Point>,
    /// Distinct keys used between two uses of a key, itself included.
    pub reuse_distance_keys: Option<Quantiles>,
}

impl MemoryUse {
    /// For a recording of one key in so many: distances are scaled (SHARDS, FAST'15).
    pub(super) fn scaled(self, one_in: u32) -> Self {
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
        let drawn = self.curve.draw(self.unknown, self.certain_misses);
        let reads = drawn.reads;
        Memory {
            reads,
            unknown: share(self.unknown.count, reads),
            certain_misses: share(self.certain_misses.count, reads),
            known_to_bytes: drawn.known_to_bytes(),
            knee: drawn.knee(),
            nearly_best_bytes: drawn.nearly_best(),
            sizes: drawn.powers_of_two_megabytes(),
            miss_ratio_curve: drawn.points(),
            reuse_distance_keys: self.reuse_keys.finish(),
        }
    }
}

impl Reads {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::synthetic::get;
    use super::super::{Context, ItemSize, Options, analyze_events};
    use membench_event::Sample;

    /// The definition: a list of (key, size), least recently used first.
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

    /// Skewed keys, each of one size.
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
        // Keys as ids: evenly spread.
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
