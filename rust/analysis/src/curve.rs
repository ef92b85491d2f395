//! Reuse distances in bytes → hit ratio at any size.

use serde::Serialize;

use super::memory::Reads;
use super::numbers::{float, share};

/// Steps of an octave, as a power of two: sizes of a few significant bits (all of `-m 1` … `-m 2048`) fall on a
/// step's edge, where the curve is exact; elsewhere a size is off by at most 0.05 %.
const STEP_BITS: u32 = 11;
const STEPS: u64 = 1 << STEP_BITS;
/// Sizes an octave in the curve given.
const POINTS_AN_OCTAVE: u64 = 8;
const MEGABYTE: u64 = 1 << 20;

/// Reads by distance.
#[derive(Default)]
pub(super) struct Curve {
    steps: Vec<Reads>,
    longest: u64,
}

/// Hit ratio at one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Memory for items, bytes.
    pub bytes: u64,
    /// Hit ratio, 0…1, if every read whose last use the recording does not show missed.
    pub hit_ratio: f64,
    /// Hit ratio, 0…1, if all of those hit.
    pub hit_ratio_most: f64,
    /// Share of the bytes read that hits (lower bound, as `hit_ratio`), 0…1.
    pub byte_hit_ratio: f64,
}

/// Where more memory stops paying.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Knee {
    /// Memory for items, bytes.
    pub bytes: u64,
    /// Hit ratio there (lower bound), 0…1.
    pub hit_ratio: f64,
}

impl Curve {
    /// A read that hits in `distance` bytes or more.
    pub(super) fn record(&mut self, distance: u64, bytes: u64) {
        let step = step(distance);
        if step >= self.steps.len() {
            self.steps.resize(step + 1, Reads::default());
        }
        self.steps[step].add(bytes);
        self.longest = self.longest.max(distance);
    }

    /// The curve, with the reads that have no distance.
    pub(super) fn draw(&self, unknown: Reads, certain_misses: Reads) -> Drawn {
        let mut sum = Reads::default();
        let cumulative = self.steps.iter().map(|reads| {
            sum.count += reads.count;
            sum.bytes += reads.bytes;
            sum
        });
        let cumulative: Vec<_> = cumulative.collect();
        Drawn {
            reads: sum.count + unknown.count + certain_misses.count,
            bytes: sum.bytes + unknown.bytes + certain_misses.bytes,
            unknown,
            longest: self.longest,
            cumulative,
        }
    }
}

/// A curve that can be asked.
pub(super) struct Drawn {
    pub(super) reads: u64,
    bytes: u64,
    unknown: Reads,
    longest: u64,
    /// By step: the reads that hit up to it.
    cumulative: Vec<Reads>,
}

impl Drawn {
    pub(super) fn known_to_bytes(&self) -> u64 {
        self.longest
    }

    fn at(&self, bytes: u64) -> Point {
        // The step that `bytes` ends is whole; one that it cuts is left out.
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

    /// From the first size at which anything hits to the first at which everything known does.
    pub(super) fn points(&self) -> Vec<Point> {
        let Some(first) = self.cumulative.iter().position(|reads| reads.count > 0) else {
            return Vec::new();
        };
        let every = STEPS / POINTS_AN_OCTAVE;
        let first = first as u64 / every * every;
        let steps = (first..).step_by(usize::try_from(every).unwrap_or(1));
        let end = self.cumulative.len() as u64 + every;
        let sizes = steps.take_while(|&step| step < end).map(lower_edge);
        sizes.map(|bytes| self.at(bytes)).collect()
    }

    pub(super) fn powers_of_two_megabytes(&self) -> Vec<Point> {
        let sizes = (0..24).map(|exponent| MEGABYTE << exponent);
        let holds_all = sizes.clone().position(|bytes| bytes >= self.longest);
        let count = holds_all.map_or(24, |index| index + 1);
        sizes.take(count).map(|bytes| self.at(bytes)).collect()
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
        let best = self.at(u64::MAX).hit_ratio;
        let points = self.points();
        let found = points.iter().find(|point| point.hit_ratio >= best - 0.01);
        found.map(|point| point.bytes)
    }
}

/// The step a distance falls in: `lower_edge(step) < distance <= lower_edge(step + 1)`, for distances above 0.
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
    fn the_curve_counts_what_hits_up_to_each_size() {
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
        let drawn = curve.draw(unknown, lost);
        let at = |bytes| drawn.at(bytes).hit_ratio;
        let found = [99, 100, 199, 200, MEGABYTE - 1, MEGABYTE, u64::MAX].map(at);
        let hits = found.map(|ratio| (ratio * 10.0).round().to_string());
        assert_eq!(hits, ["0", "1", "1", "3", "3", "4", "5"]);
        assert!((drawn.at(MEGABYTE).hit_ratio_most - 0.6).abs() < 1e-12);
        assert_eq!(drawn.powers_of_two_megabytes().len(), 2);
    }
}
