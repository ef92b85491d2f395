//! Durations in ns → HDR histograms by command → percentiles.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use membench_event::Command;
use membench_protocol::base64;
use serde::{Deserialize, Serialize};

use crate::operation::Operation;

/// Longest duration a histogram holds, ns: 146 years, so none saturates.
const LONGEST: u64 = i64::MAX as u64 / 2;

/// Significant decimal digits of the reported histograms.
const DIGITS: u8 = 3;

/// Position of the compressed content of a stored histogram: behind two words of 32 bits, its kind and its size.
const COMPRESSED_AT: usize = 8;

/// Most bytes of that content: 54,000 counts of up to nine bytes have half as many.
const CONTENT_MAX: u64 = 1 << 20;

/// Number of latency classes: one per command, and one for multi-gets.
const CLASSES: usize = Command::ALL.len() + 1;

/// Class of gets of several keys.
const MULTI_GET: u8 = 26;

/// Returns the class of the request made of `operations`.
pub(crate) fn class_of_request(operations: &[Operation]) -> u8 {
    match operations {
        [single] => single.command as u8,
        _ => MULTI_GET,
    }
}

fn class_name(class: usize) -> &'static str {
    Command::ALL
        .get(class)
        .map_or("mget", |command| command.name())
}

/// Returns an empty histogram of durations of any length, with `digits` significant digits.
pub(crate) fn empty(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, digits).expect("constant bounds are valid")
}

/// Histograms of one kind of duration, two per class that occurred.
#[derive(Debug)]
pub(crate) struct Durations {
    answered: [Option<Histogram<u64>>; CLASSES],
    /// Waits of requests that got no answer.
    unanswered: [Option<Histogram<u64>>; CLASSES],
}

impl Durations {
    /// Makes an empty set, which allocates a histogram when its class first occurs.
    pub(crate) fn new() -> Self {
        Self {
            answered: [const { None }; CLASSES],
            unanswered: [const { None }; CLASSES],
        }
    }

    /// Counts one duration, ns.
    #[inline]
    pub(crate) fn record(&mut self, class: u8, duration: u64) {
        record(&mut self.answered, class, duration);
    }

    /// Counts a request that waited for this long, ns, and got no answer.
    pub(crate) fn record_unanswered(&mut self, class: u8, waited: u64) {
        record(&mut self.unanswered, class, waited);
    }

    /// Adds the durations of another shard.
    pub(crate) fn merge(&mut self, other: &Self) {
        merge(&mut self.answered, &other.answered);
        merge(&mut self.unanswered, &other.unanswered);
    }

    /// Returns percentiles, overall and by command.
    pub(crate) fn summary(&self) -> Summary {
        let mut all = (empty(DIGITS), empty(DIGITS));
        let none = empty(DIGITS);
        let mut by_command = BTreeMap::new();
        let pairs = self.answered.iter().zip(&self.unanswered);
        for (class, (answered, unanswered)) in pairs.enumerate() {
            if answered.is_none() && unanswered.is_none() {
                continue;
            }
            let answered = answered.as_ref().unwrap_or(&none);
            let unanswered = unanswered.as_ref().unwrap_or(&none);
            add(&mut all.0, answered);
            add(&mut all.1, unanswered);
            by_command.insert(class_name(class), Percentiles::new(answered, unanswered));
        }
        Summary {
            overall: Percentiles::new(&all.0, &all.1),
            by_command,
        }
    }
}

impl Durations {
    /// Writes all histograms, by command.
    pub(crate) fn stored(&self) -> StoredDurations {
        let pairs = self.answered.iter().zip(&self.unanswered).enumerate();
        pairs
            .filter(|(_, (answered, unanswered))| answered.is_some() || unanswered.is_some())
            .map(|(class, (answered, unanswered))| {
                let stored = StoredPair {
                    answered: answered.as_ref().and_then(to_text),
                    unanswered: unanswered.as_ref().and_then(to_text),
                };
                (class_name(class).to_owned(), stored)
            })
            .collect()
    }

    /// Adds histograms that [`stored`](Self::stored) wrote; `None` if they are none, or of an unknown command.
    pub(crate) fn add_stored(&mut self, stored: &StoredDurations) -> Option<()> {
        for (name, pair) in stored {
            let class = (0..CLASSES).find(|class| class_name(*class) == name)?;
            for (slots, text) in [
                (&mut self.answered, &pair.answered),
                (&mut self.unanswered, &pair.unanswered),
            ] {
                if let Some(text) = text {
                    let slot = slots.get_mut(class)?;
                    let into = slot.get_or_insert_with(|| empty(DIGITS));
                    into.add(from_text(text)?).ok()?;
                }
            }
        }
        Some(())
    }
}

/// Histograms of the durations of one command: of requests that were answered, and of the waits of those that were not.
/// Each is in the compressed form of the logs of `HdrHistogram`, in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPair {
    /// Durations of answered requests; `None` if none was.
    pub answered: Option<String>,
    /// Waits of requests without an answer; `None` if all were answered.
    pub unanswered: Option<String>,
}

/// Histograms of one kind of duration, by command.
pub type StoredDurations = BTreeMap<String, StoredPair>;

fn to_text(histogram: &Histogram<u64>) -> Option<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .ok()?;
    let mut text = vec![0; bytes.len().div_ceil(3) * 4];
    let length = base64::encode(&bytes, &mut text)?;
    text.truncate(length);
    String::from_utf8(text).ok()
}

fn from_text(text: &str) -> Option<Histogram<u64>> {
    let mut bytes = vec![0; text.len()];
    let length = base64::decode(text.as_bytes(), &mut bytes)?;
    let packed = bytes.get(..length)?;
    // The library makes room for as many bytes as the content claims, which may come from a stranger's file.
    let content = packed.get(COMPRESSED_AT..)?;
    let mut unpacked = ZlibDecoder::new(content).take(CONTENT_MAX + 1);
    let mut plain = Vec::new();
    unpacked.read_to_end(&mut plain).ok()?;
    let claimed = u32::from_be_bytes(*plain.get(4..)?.first_chunk()?);
    if plain.len() as u64 > CONTENT_MAX || claimed as usize > plain.len() {
        return None;
    }
    Deserializer::new().deserialize(&mut plain.as_slice()).ok()
}

fn record(slots: &mut [Option<Histogram<u64>>; CLASSES], class: u8, duration: u64) {
    if let Some(slot) = slots.get_mut(usize::from(class)) {
        slot.get_or_insert_with(|| empty(DIGITS))
            .saturating_record(duration);
    }
}

fn merge(into: &mut [Option<Histogram<u64>>; CLASSES], other: &[Option<Histogram<u64>>; CLASSES]) {
    for (slot, other) in into.iter_mut().zip(other) {
        if let Some(other) = other {
            add(slot.get_or_insert_with(|| empty(DIGITS)), other);
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds one histogram to another; both come from [`empty`], so their bounds agree.
pub(crate) fn add(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    into.add(other)
        .expect("all histograms have the same bounds");
}

/// Percentiles of durations in ns. A request without an answer counts as slower than every answered one; a percentile
/// that falls on such a request is a lower bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median, ns.
    pub p50: u64,
    /// 90th percentile, ns.
    pub p90: u64,
    /// 95th percentile, ns.
    pub p95: u64,
    /// 99th percentile, ns.
    pub p99: u64,
    /// 99.9th percentile, ns.
    pub p999: u64,
    /// Longest duration, ns.
    pub max: u64,
    /// Arithmetic mean, ns.
    pub mean: f64,
    /// Number of durations, those of unanswered requests included.
    pub count: u64,
    /// Number of requests among them that got no answer.
    pub unanswered: u64,
    /// Names of the figures above that are lower bounds.
    pub at_least: Vec<&'static str>,
}

impl Percentiles {
    /// Reads the percentiles of the durations of answered requests and of the waits of unanswered ones.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and sums are far below 2^53"
    )]
    fn new(answered: &Histogram<u64>, unanswered: &Histogram<u64>) -> Self {
        let merged = Merged {
            answered,
            unanswered,
            count: answered.len() + unanswered.len(),
        };
        let mut at_least = Vec::new();
        let mut at = |name, quantile| {
            let (value, is_bound) = merged.value_at(quantile);
            if is_bound {
                at_least.push(name);
            }
            value
        };
        let (p50, p90, p95) = (at("p50", 0.5), at("p90", 0.9), at("p95", 0.95));
        let (p99, p999, max) = (at("p99", 0.99), at("p999", 0.999), at("max", 1.0));
        if !unanswered.is_empty() {
            at_least.push("mean");
        }
        let sum = |of: &Histogram<u64>| of.mean() * of.len() as f64;
        Self {
            p50,
            p90,
            p95,
            p99,
            p999,
            max: if unanswered.is_empty() {
                answered.max()
            } else {
                max
            },
            mean: (sum(answered) + sum(unanswered)) / merged.count.max(1) as f64,
            count: merged.count,
            unanswered: unanswered.len(),
            at_least,
        }
    }
}

/// Answered requests in order of their durations, then unanswered ones in order of their waits.
struct Merged<'a> {
    answered: &'a Histogram<u64>,
    unanswered: &'a Histogram<u64>,
    count: u64,
}

impl Merged<'_> {
    /// Returns the duration at a quantile, and true if it is a lower bound.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are positive and far below 2^53"
    )]
    fn value_at(&self, quantile: f64) -> (u64, bool) {
        if self.unanswered.is_empty() {
            return (self.answered.value_at_quantile(quantile), false);
        }
        let rank = ((quantile * self.count as f64).ceil() as u64).max(1);
        match rank.checked_sub(self.answered.len()) {
            None | Some(0) => (value_at_rank(self.answered, rank), false),
            Some(rank) => {
                let waited = value_at_rank(self.unanswered, rank);
                (waited.max(self.answered.max()), true)
            }
        }
    }
}

/// Returns the value of the `rank`th smallest duration, counted from 1.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn value_at_rank(histogram: &Histogram<u64>, rank: u64) -> u64 {
    // Half a rank less, so that rounding cannot reach the next one.
    let quantile = (rank as f64 - 0.5) / histogram.len().max(1) as f64;
    histogram.value_at_quantile(quantile)
}

/// Percentiles of one kind of duration, overall and by command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Percentiles over all commands.
    #[serde(flatten)]
    pub overall: Percentiles,
    /// Percentiles of each command; gets of several keys are listed as `mget`.
    pub by_command: BTreeMap<&'static str, Percentiles>,
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;

    use super::*;

    const GET: u8 = 0;

    fn durations(answered: &[u64], unanswered: &[u64]) -> Percentiles {
        let mut durations = Durations::new();
        for duration in answered {
            durations.record(GET, *duration);
        }
        for waited in unanswered {
            durations.record_unanswered(GET, *waited);
        }
        durations.summary().overall
    }

    #[test]
    fn unanswered_requests_are_slower_than_every_answered_one() {
        let answered: Vec<u64> = (1..=90).collect();
        let found = durations(&answered, &[5; 10]);
        assert_eq!((found.p50, found.p90), (50, 90));
        assert_eq!((found.p95, found.p99, found.max), (90, 90, 90));
        assert_eq!(found.at_least, ["p95", "p99", "p999", "max", "mean"]);
        assert_eq!((found.count, found.unanswered), (100, 10));
    }

    #[test]
    fn a_percentile_of_unanswered_requests_is_their_wait() {
        let found = durations(&[10], &[1000, 1200, 1500]);
        assert_eq!((found.p50, found.max), (1000, 1500));
        assert!((found.mean - 927.5).abs() < 1.0, "{}", found.mean);
        assert_eq!(found.at_least[0], "p50");
    }

    #[test]
    fn a_stored_histogram_that_claims_much_memory_is_refused_before_it_gets_it() {
        let packed = |plain: &[u8]| {
            let mut bytes = vec![0x1c, 0x84, 0x93, 0x14, 0, 0, 0, 0];
            let mut packer = flate2::write::ZlibEncoder::new(&mut bytes, Compression::default());
            packer.write_all(plain).unwrap();
            drop(packer);
            let size = u32::try_from(bytes.len() - COMPRESSED_AT).unwrap();
            bytes[4..COMPRESSED_AT].copy_from_slice(&size.to_be_bytes());
            let mut text = vec![0; bytes.len().div_ceil(3) * 4];
            let length = base64::encode(&bytes, &mut text).unwrap();
            text.truncate(length);
            String::from_utf8(text).unwrap()
        };
        let header = |payload: u32, digits: u8| {
            let mut plain = vec![0x1c, 0x84, 0x93, 0x13];
            plain.extend(payload.to_be_bytes());
            plain.extend([0, 0, 0, 0, 0, 0, 0, digits]);
            plain.extend(1_u64.to_be_bytes());
            plain.extend(LONGEST.to_be_bytes());
            plain.extend(1_f64.to_be_bytes());
            plain
        };
        assert!(from_text(&packed(&header(0, DIGITS))).is_some());
        assert!(from_text(&packed(&header(u32::MAX, DIGITS))).is_none());
        let bomb = [header(0, DIGITS), vec![0; 64 << 20]].concat();
        assert!(from_text(&packed(&bomb)).is_none());
    }

    #[test]
    fn stored_histograms_add_up_to_those_of_all_durations() {
        let mut whole = Durations::new();
        let mut parts = [Durations::new(), Durations::new()];
        for number in 0..20_000_u64 {
            let (class, duration) = ((number % 3) as u8, number * number * 7919 % 10_000_000_019);
            let part = &mut parts[(number % 2) as usize];
            if number % 5 == 0 {
                whole.record_unanswered(class, duration);
                part.record_unanswered(class, duration);
            } else {
                whole.record(class, duration);
                part.record(class, duration);
            }
        }
        let mut sum = Durations::new();
        for part in &parts {
            sum.add_stored(&part.stored()).unwrap();
        }
        assert_eq!(sum.summary(), whole.summary());
        assert_eq!(sum.stored(), whole.stored());
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let good = {
            let mut durations = Durations::new();
            durations.record(GET, 5);
            durations.stored()
        };
        let text = good["get"].answered.clone().unwrap();
        for bad in ["", "HISTFAAAA", "!", &text[..text.len() / 2], &text[4..]] {
            let pair = StoredPair {
                answered: Some(bad.to_owned()),
                unanswered: None,
            };
            let stored = StoredDurations::from([("get".to_owned(), pair)]);
            assert_eq!(Durations::new().add_stored(&stored), None, "{bad:?}");
        }
        let stored = StoredDurations::from([("gat the key".to_owned(), StoredPair::default())]);
        assert_eq!(Durations::new().add_stored(&stored), None);
    }

    #[test]
    fn without_unanswered_requests_no_percentile_is_a_bound() {
        let found = durations(&[10, 20], &[]);
        assert_eq!((found.p50, found.max, found.unanswered), (10, 20, 0));
        assert!(found.at_least.is_empty());
    }
}
