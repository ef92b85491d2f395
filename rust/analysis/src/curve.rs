//! Reuse distances in bytes → hit ratio at any memory size.

use serde::Serialize;

use super::numbers::{float, share};

/// Steps per octave, as a power of two. Sizes of few significant bits (every `-m 1` … `-m 2048`) fall on the edge of a
/// step, where the curve is exact; other sizes are off by at most 0.05 %.
const STEP_BITS: u32 = 11;
const STEPS: u64 = 1 << STEP_BITS;
/// Points per octave in the reported curve.
const POINTS_PER_OCTAVE: u64 = 8;
const MEGABYTE: u64 = 1 << 20;

/// Number of reads and the bytes of their items.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl Reads {
    /// Adds one read of an item of `bytes`.
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// Histogram of reads by reuse distance.
#[derive(Default)]
pub(super) struct Curve {
    steps: Vec<Reads>,
    longest: u64,
}

/// Hit ratio at one memory size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Memory for items, bytes.
    pub bytes: u64,
    /// Lower bound of the hit ratio, 0…1: a read is a miss if the recording does not show its item's previous use.
    pub hit_ratio: f64,
    /// Upper bound of the hit ratio, 0…1: a read is a hit if the recording does not show its item's previous use.
    pub hit_ratio_most: f64,
    /// Lower bound of the share of the bytes read that hits, 0…1; the counterpart of `hit_ratio`.
    pub byte_hit_ratio: f64,
}

/// Point of diminishing returns: more memory than this gains little.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Knee {
    /// Memory for items, bytes.
    pub bytes: u64,
    /// Lower bound of the hit ratio at that size, 0…1.
    pub hit_ratio: f64,
}

impl Curve {
    /// Adds a read of an item of `bytes`, which hits in a memory of `distance` bytes or more.
    pub(super) fn record(&mut self, distance: u64, bytes: u64) {
        let step = step(distance);
        if step >= self.steps.len() {
            self.steps.resize(step + 1, Reads::default());
        }
        self.steps[step].add(bytes);
        self.longest = self.longest.max(distance);
    }

    /// Accumulates the curve. Reads without a distance are either `unknown` or `certain_misses`.
    pub(super) fn accumulate(&self, unknown: Reads, certain_misses: Reads) -> HitCurve {
        let mut sum = Reads::default();
        let cumulative = self.steps.iter().map(|reads| {
            sum.count += reads.count;
            sum.bytes += reads.bytes;
            sum
        });
        let cumulative: Vec<_> = cumulative.collect();
        HitCurve {
            reads: sum.count + unknown.count + certain_misses.count,
            bytes: sum.bytes + unknown.bytes + certain_misses.bytes,
            unknown,
            longest: self.longest,
            cumulative,
        }
    }
}

/// Hit ratio as a function of memory size.
pub(super) struct HitCurve {
    pub(super) reads: u64,
    bytes: u64,
    unknown: Reads,
    longest: u64,
    /// Reads that hit in a memory as large as the upper edge of each step.
    cumulative: Vec<Reads>,
}

impl HitCurve {
    pub(super) fn known_to_bytes(&self) -> u64 {
        self.longest
    }

    fn point(&self, bytes: u64) -> Point {
        // Only steps that end at or below `bytes` count.
        let whole = if bytes == u64::MAX {
            usize::MAX
        } else {
            step(bytes + 1)
        };
        let last = whole.min(self.cumulative.len()).checked_sub(1);
        let hits = last.map_or(Reads::default(), |last| self.cumulative[last]);
        Point {
            bytes,
            hit_ratio: share(hits.count, self.reads).unwrap_or(0.0),
            hit_ratio_most: share(hits.count + self.unknown.count, self.reads).unwrap_or(0.0),
            byte_hit_ratio: share(hits.bytes, self.bytes).unwrap_or(0.0),
        }
    }

    /// Returns points from the first size at which any read hits to the first at which every known read does.
    pub(super) fn points(&self) -> Vec<Point> {
        let Some(first) = self.cumulative.iter().position(|reads| reads.count > 0) else {
            return Vec::new();
        };
        let every = STEPS / POINTS_PER_OCTAVE;
        let first = first as u64 / every * every;
        let steps = (first..).step_by(usize::try_from(every).unwrap_or(1));
        let end = self.cumulative.len() as u64 + every;
        let sizes = steps.take_while(|&step| step < end).map(lower_edge);
        sizes.map(|bytes| self.point(bytes)).collect()
    }

    pub(super) fn powers_of_two_megabytes(&self) -> Vec<Point> {
        let sizes = (0..24).map(|exponent| MEGABYTE << exponent);
        let holds_all = sizes.clone().position(|bytes| bytes >= self.longest);
        let count = holds_all.map_or(24, |index| index + 1);
        sizes.take(count).map(|bytes| self.point(bytes)).collect()
    }

    pub(super) fn knee(&self) -> Option<Knee> {
        let points = self.points();
        let end = points.last()?;
        let above =
            |point: &Point| point.hit_ratio / end.hit_ratio - float(point.bytes) / float(end.bytes);
        let knee = points.iter().max_by(|a, b| above(a).total_cmp(&above(b)))?;
        Some(Knee {
            bytes: knee.bytes,
            hit_ratio: knee.hit_ratio,
        })
    }

    pub(super) fn nearly_best(&self) -> Option<u64> {
        let best = self.point(u64::MAX).hit_ratio;
        let points = self.points();
        let found = points.iter().find(|point| point.hit_ratio >= best - 0.01);
        found.map(|point| point.bytes)
    }
}

/// Finds the step that contains a distance above 0: `lower_edge(step) < distance <= lower_edge(step + 1)`.
fn step(distance: u64) -> usize {
    let below = distance.saturating_sub(1);
    let octave = below.max(STEPS).ilog2() - STEP_BITS;
    let step = (u64::from(octave) << STEP_BITS) + (below >> octave);
    usize::try_from(step).unwrap_or(usize::MAX)
}

fn lower_edge(step: u64) -> u64 {
    let octave = (step >> STEP_BITS).saturating_sub(1);
    (step - (octave << STEP_BITS)) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_lies_between_the_edges_of_its_step() {
        for distance in (1..10_000).chain([1 << 20, (1 << 20) + 1, (3 << 30) - 1, 1 << 40]) {
            let step = step(distance) as u64;
            let (low, high) = (lower_edge(step), lower_edge(step + 1));
            assert!(
                low < distance && distance <= high,
                "{low} {distance} {high}"
            );
        }
    }

    #[test]
    fn whole_megabytes_are_edges() {
        for megabytes in 1..=2048 {
            let bytes = megabytes * MEGABYTE;
            assert_eq!(lower_edge(step(bytes) as u64 + 1), bytes);
        }
    }

    #[test]
    fn the_curve_counts_the_reads_that_hit_at_each_size() {
        let mut curve = Curve::default();
        for distance in [100, 200, 200, MEGABYTE, MEGABYTE + 1] {
            curve.record(distance, 10);
        }
        let lost = Reads {
            count: 3,
            bytes: 30,
        };
        let unknown = Reads {
            count: 2,
            bytes: 20,
        };
        let curve = curve.accumulate(unknown, lost);
        let ratio = |bytes| curve.point(bytes).hit_ratio;
        let found = [99, 100, 199, 200, MEGABYTE - 1, MEGABYTE, u64::MAX].map(ratio);
        let hits = found.map(|ratio| (ratio * 10.0).round().to_string());
        assert_eq!(hits, ["0", "1", "1", "3", "3", "4", "5"]);
        assert!((curve.point(MEGABYTE).hit_ratio_most - 0.6).abs() < 1e-12);
        assert_eq!(curve.powers_of_two_megabytes().len(), 2);
    }
}
