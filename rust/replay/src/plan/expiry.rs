//! Expiry times of the recording → those to send, if time passes faster or slower than it did.

use membench_event::Event;
use serde::Serialize;

/// Longest expiry that memcached takes as relative, s: 30 days.
const RELATIVE_MAX: f64 = 2_592_000.0;

/// Difference from the exact time from which an expiry counts as distorted.
const DISTORTION: f64 = 0.1;

/// Expiry times that a change of speed scales, as requests of the schedule send them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expiries {
    /// Requests with an expiry that is scaled.
    pub scaled: u64,
    /// Requests among them whose expiry is more than 10 % off, because memcached counts whole seconds: no expiry is sent
    /// that is below 1 s, or above 30 days.
    pub distorted: u64,
}

/// Rule that scales expiry times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpiryScale {
    speed: f64,
}

impl Default for ExpiryScale {
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl ExpiryScale {
    /// Makes a rule for a replay that is `speed` times as fast as the recording.
    pub(crate) fn new(speed: f64) -> Self {
        Self { speed }
    }

    /// True if the rule changes anything.
    #[expect(clippy::float_cmp, reason = "exactly 1 is no change")]
    pub(crate) fn is_used(self) -> bool {
        self.speed != 1.0
    }

    /// Returns the expiry to send for a recorded one. 0, which is never, and negative ones, which are at once, stay.
    #[expect(clippy::cast_possible_truncation, reason = "at most 30 days")]
    pub(crate) fn scale(self, recorded: i32) -> i32 {
        if recorded <= 0 || !self.is_used() {
            return recorded;
        }
        (f64::from(recorded) / self.speed)
            .round()
            .clamp(1.0, RELATIVE_MAX) as i32
    }

    /// Counts an event in `expiries`, if it sends an expiry that is scaled.
    pub(crate) fn count(self, event: &Event, expiries: &mut Expiries) {
        if !self.is_used() {
            return;
        }
        let sent = [event.ttl, event.vivify_ttl, event.recache_ttl];
        let mut scaled = sent.into_iter().flatten().filter(|ttl| *ttl > 0).peekable();
        if scaled.peek().is_none() {
            return;
        }
        expiries.scaled += 1;
        expiries.distorted += u64::from(scaled.any(|ttl| self.is_distorted(ttl)));
    }

    fn is_distorted(self, recorded: i32) -> bool {
        let exact = f64::from(recorded) / self.speed;
        (f64::from(self.scale(recorded)) - exact).abs() > DISTORTION * exact
    }
}

#[cfg(test)]
mod tests {
    use membench_event::Command;

    use super::*;

    #[test]
    fn an_expiry_scales_with_the_speed_and_stays_within_what_memcached_takes() {
        let table = [
            (2.0, 600, 300, false),
            (2.0, 3, 2, true),
            (10.0, 5, 1, true),
            (10.0, 10, 1, false),
            (10.0, 0, 0, false),
            (10.0, -1, -1, false),
            (0.5, 7, 14, false),
            (0.5, 2_000_000, 2_592_000, true),
            (1.0, 2_592_001, 2_592_001, false),
        ];
        for (speed, recorded, sent, is_distorted) in table {
            let scale = ExpiryScale::new(speed);
            assert_eq!(scale.scale(recorded), sent, "{recorded} s at {speed}");
            let mut found = Expiries::default();
            let event = Event {
                ttl: Some(recorded),
                ..Event::new(Command::Set)
            };
            scale.count(&event, &mut found);
            assert_eq!(found.scaled, u64::from(recorded > 0 && scale.is_used()));
            assert_eq!(
                found.distorted,
                u64::from(is_distorted),
                "{recorded} s at {speed}"
            );
        }
    }
}
