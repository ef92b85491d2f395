//! The share of the traffic that a profile holds, and its wording.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Sampling rates of keys and connections: N keeps one in N, 1 keeps all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// One key in this many, chosen by its id: every operation on a key is in the sample, or none.
    pub keys: u32,
    /// One connection in this many, chosen by the client's address and port.
    pub connections: u32,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            keys: 1,
            connections: 1,
        }
    }
}

impl Sample {
    /// True if nothing is left out.
    pub fn is_all(self) -> bool {
        self == Self::default()
    }

    /// Approximate share of the traffic in the sample, 0…1.
    pub fn share(self) -> f64 {
        1.0 / (f64::from(self.keys) * f64::from(self.connections))
    }

    /// True if the sample contains a key. Ids are evenly spread; their high bits decide, because the low ones have
    /// other uses.
    pub fn holds_key(self, id: u64) -> bool {
        id <= u64::MAX / u64::from(self.keys.max(1))
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.keys, self.connections) {
            (1, 1) => to.write_str("everything"),
            (keys, 1) => write!(to, "1 in {keys} keys"),
            (1, connections) => write!(to, "1 in {connections} connections"),
            (keys, connections) => {
                write!(to, "1 in {keys} keys on 1 in {connections} connections")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(keys: u32, connections: u32) -> Sample {
        Sample { keys, connections }
    }

    #[test]
    fn a_sample_is_described_in_words() {
        for (sample, text) in [
            (sample(1, 1), "everything"),
            (sample(100, 1), "1 in 100 keys"),
            (sample(1, 4), "1 in 4 connections"),
            (sample(10, 4), "1 in 10 keys on 1 in 4 connections"),
        ] {
            assert_eq!(sample.to_string(), text);
        }
    }

    #[test]
    fn a_sample_of_keys_holds_about_one_in_n() {
        let ids: Vec<u64> = (0..10_000)
            .map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        for (keys, least, most) in [(1, 10_000, 10_000), (4, 2_400, 2_600), (100, 80, 120)] {
            let held = ids
                .iter()
                .filter(|id| sample(keys, 1).holds_key(**id))
                .count();
            assert!((least..=most).contains(&held), "1 in {keys}: {held}");
        }
        assert!(sample(1, 1).holds_key(u64::MAX));
    }
}
