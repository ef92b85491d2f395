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
}

/// Reads, and the bytes of their items.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// Hit ratio by memory size, for one LRU list over all items (memcached's segmented LRU and slab classes come near).
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
                self.reuse_keys.record(distance.items);
                self.curve.record(distance.bytes, bytes);
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
