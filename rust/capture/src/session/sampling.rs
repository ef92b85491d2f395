//! Decoded events → those of the sample.

use membench_event::{Event, Sample};

/// Returns true if an event is in the sample. Its key decides, which keeps every operation on a key together, so that
/// reuse distances can be measured (SHARDS, FAST'15). The few commands without a key are sampled by their place.
pub(crate) fn holds(sample: Sample, event: &Event) -> bool {
    sample.holds_key(event.key.unwrap_or_else(|| place(event)))
}

/// Returns a number that is evenly spread over requests (the finisher of splitmix64).
fn place(event: &Event) -> u64 {
    let number = u64::from(event.connection) << 32 | u64::from(event.request);
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use membench_event::Command;

    use super::*;

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
        let sample = Sample {
            keys: 10,
            connections: 1,
        };
        let held = (0..10_000).filter(|request| holds(sample, &event(*request, None)));
        assert!((900..1100).contains(&held.count()));
    }

    #[test]
    fn a_key_is_in_or_out_wherever_it_is_used() {
        let sample = Sample {
            keys: 2,
            connections: 1,
        };
        for key in [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
            let held: Vec<bool> = (0..50)
                .map(|request| holds(sample, &event(request, Some(key))))
                .collect();
            assert!(held.iter().all(|kept| *kept == held[0]), "{key}");
        }
    }
}
