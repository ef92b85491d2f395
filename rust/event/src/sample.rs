//! The share of the traffic that a profile holds, and its wording.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::Event;

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

    /// True if the sample contains an event. Its key decides, which keeps every operation on a key together, so that
    /// reuse distances can be measured (SHARDS, FAST'15). The few commands without a key are sampled by their place.
    pub fn holds(self, event: &Event) -> bool {
        self.holds_key(event.key.unwrap_or_else(|| place(event)))
    }

    /// True if the sample contains a key. Ids are evenly spread; their high bits decide, because the low ones have
    /// other uses.
    pub fn holds_key(self, id: u64) -> bool {
        id <= u64::MAX / u64::from(self.keys.max(1))
    }
}

/// Returns a number that is evenly spread over requests (the finisher of splitmix64).
fn place(event: &Event) -> u64 {
    let number = u64::from(event.connection) << 32 | u64::from(event.request);
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
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
    use crate::event::Command;

    fn event(request: u32, key: Option<u64>) -> Event {
        Event {
            connection: 3,
            request,
            key,
            request_size: Some(4),
            ..Event::new(Command::MetaNoop)
        }
    }

    #[test]
    fn commands_without_a_key_are_sampled_like_keys() {
        let held = (0..10_000).filter(|request| sample(10, 1).holds(&event(*request, None)));
        assert!((900..1100).contains(&held.count()));
    }

    #[test]
    fn a_key_is_in_or_out_wherever_it_is_used() {
        for key in [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
            let held: Vec<bool> = (0..50)
                .map(|request| sample(2, 1).holds(&event(request, Some(key))))
                .collect();
            assert!(held.iter().all(|kept| *kept == held[0]), "{key}");
        }
    }

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
