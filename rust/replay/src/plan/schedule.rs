//! Recorded times → intended times, by a pacing.

use crate::{Error, Result};

const NS_PER_S: f64 = 1e9;

/// Rule that turns recorded times into intended times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// Recorded times.
    Recorded,
    /// Recorded times divided by this factor.
    Speed(f64),
    /// This many requests per second at equal distances. Recorded batches still leave together.
    Rate(f64),
}

impl Pacing {
    /// Parses `recorded`, `speed=2` or `rate=50000/s`.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || Error::Pacing {
            given: text.to_owned(),
        };
        let number = |digits: &str| {
            let parsed = digits.parse::<f64>().ok();
            parsed
                .filter(|number| number.is_finite() && *number > 0.0)
                .ok_or_else(refused)
        };
        match text.split_once('=') {
            None if text == "recorded" => Ok(Self::Recorded),
            Some(("speed", factor)) => Ok(Self::Speed(number(factor)?)),
            Some(("rate", rate)) => {
                Ok(Self::Rate(number(rate.strip_suffix("/s").unwrap_or(rate))?))
            }
            _ => Err(refused()),
        }
    }

    /// Returns the time, ns, that `requests` recorded within `recorded` ns take.
    pub(crate) fn length(self, recorded: u64, requests: u64) -> u64 {
        match self {
            Self::Recorded => recorded,
            Self::Speed(factor) => scaled(recorded, 1.0 / factor),
            Self::Rate(rate) => scaled(requests, NS_PER_S / rate),
        }
    }
}

/// Schedule of a run, from its first batch to the latest one placed.
#[derive(Debug)]
pub(crate) struct Schedule {
    pacing: Pacing,
    /// Recorded time of the first batch or change, ns; it gets the intended time 0.
    first: Option<u64>,
    /// Requests placed so far.
    requests: u64,
}

impl Schedule {
    /// Makes a schedule without any batch.
    pub(crate) fn new(pacing: Pacing) -> Self {
        Self {
            pacing,
            first: None,
            requests: 0,
        }
    }

    /// Returns the intended time, ns after the start, of a batch of `requests` that arrived at `recorded` ns. Batches
    /// must be placed in order of arrival.
    pub(crate) fn intended(&mut self, recorded: u64, requests: u64) -> u64 {
        let first = *self.first.get_or_insert(recorded);
        let before = self.requests;
        self.requests += requests;
        let elapsed = recorded.saturating_sub(first);
        self.pacing.length(elapsed, before)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "times are positive and far below 2^53 ns (104 days)"
)]
fn scaled(amount: u64, factor: f64) -> u64 {
    (amount as f64 * factor) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacing_is_parsed_or_refused_by_name() {
        let table = [
            ("recorded", Some(Pacing::Recorded)),
            ("speed=2", Some(Pacing::Speed(2.0))),
            ("speed=0.5", Some(Pacing::Speed(0.5))),
            ("rate=50000/s", Some(Pacing::Rate(50_000.0))),
            ("rate=50000", Some(Pacing::Rate(50_000.0))),
            ("speed=0", None),
            ("speed=-1", None),
            ("speed=inf", None),
            ("rate=NaN", None),
            ("max", None),
            ("closed", None),
            ("recorded=1", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Pacing::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn each_pacing_places_batches() {
        let table = [
            (Pacing::Recorded, [0, 1_000, 5_000]),
            (Pacing::Speed(2.0), [0, 500, 2_500]),
            (Pacing::Rate(1e6), [0, 1_000, 4_000]),
        ];
        for (pacing, expected) in table {
            let mut schedule = Schedule::new(pacing);
            let batches = [(100, 1), (1_100, 3), (5_100, 1)];
            let placed = batches.map(|(time, requests)| schedule.intended(time, requests));
            assert_eq!(placed, expected, "{pacing:?}");
        }
    }
}
