//! Times on the monotonic clock ↔ UTC, by one moment read on both clocks.

use serde::{Deserialize, Serialize};

/// One moment, read on two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// `CLOCK_MONOTONIC`, ns.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME`, ns since 1970.
    pub utc_ns: u64,
}

impl Anchor {
    /// Moves the anchor back to a whole microsecond of UTC, so that recorded times lose only their own rounding.
    #[must_use]
    pub fn on_a_microsecond(self) -> Self {
        let excess = (self.utc_ns % 1000).min(self.monotonic_ns);
        Self {
            monotonic_ns: self.monotonic_ns - excess,
            utc_ns: self.utc_ns - excess,
        }
    }

    /// Converts a `CLOCK_MONOTONIC` time, ns, to ns since 1970.
    pub fn utc_ns(self, monotonic_ns: u64) -> i64 {
        monotonic_ns
            .wrapping_sub(self.monotonic_ns)
            .wrapping_add(self.utc_ns)
            .cast_signed()
    }

    /// Converts µs since 1970 to a `CLOCK_MONOTONIC` time, ns.
    pub fn monotonic_ns(self, utc_us: i64) -> u64 {
        utc_us
            .wrapping_mul(1000)
            .cast_unsigned()
            .wrapping_sub(self.utc_ns)
            .wrapping_add(self.monotonic_ns)
    }
}
