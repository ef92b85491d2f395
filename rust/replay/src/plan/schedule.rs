//! Recorded times → intended times, by a pacing.

use crate::mix;
use crate::{Error, Result};

const NS_PER_S: f64 = 1e9;

/// Least and largest number in a pacing: a schedule of a billion requests ends in this machine's time.
const LEAST: f64 = 1e-3;
const MOST: f64 = 1e12;

/// Rule that turns recorded times into intended times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// Recorded times.
    Recorded,
    /// Recorded times divided by this factor.
    Speed(f64),
    /// This many requests per second at equal distances. Recorded batches still leave together.
    Rate(f64),
    /// This many requests per second on average, at distances of a Poisson process: independent of each other, and the
    /// same in every replay.
    Poisson(f64),
    /// Requests per second that grow, or fall, evenly from the first number to the second over a time, s, and stay there.
    Ramp {
        /// Rate at the start.
        from: f64,
        /// Rate at the end of the time.
        to: f64,
        /// The time, s.
        over: f64,
    },
    /// In recorded order, each batch once all answers on its connection have come and the client has thought for as long
    /// as the recorded one.
    Closed,
    /// In recorded order, each batch once all answers on its connection have come.
    ClosedWithoutThinking,
    /// In recorded order, as fast as the target answers: on each connection up to [`WINDOW`] requests are outstanding.
    Max,
}

/// Most requests outstanding on a connection with [`Pacing::Max`], unless a recorded batch has more.
pub(crate) const WINDOW: usize = 32;

impl Pacing {
    /// Parses `recorded`, `speed=2`, `rate=50000/s`, `poisson=50000/s`, `ramp=1000..50000/30s`, `closed`,
    /// `closed=no-think` or `max`.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || Error::Pacing {
            given: text.to_owned(),
        };
        let number = |digits: &str| {
            let parsed = digits.parse::<f64>().ok();
            parsed
                .filter(|number| (LEAST..=MOST).contains(number))
                .ok_or_else(refused)
        };
        match text.split_once('=') {
            None => match text {
                "recorded" => Ok(Self::Recorded),
                "closed" => Ok(Self::Closed),
                "max" => Ok(Self::Max),
                _ => Err(refused()),
            },
            Some(("closed", "no-think")) => Ok(Self::ClosedWithoutThinking),
            Some(("speed", factor)) => Ok(Self::Speed(number(factor)?)),
            Some(("rate", rate)) => Ok(Self::Rate(number(per_second(rate))?)),
            Some(("poisson", rate)) => Ok(Self::Poisson(number(per_second(rate))?)),
            Some(("ramp", ramp)) => {
                let (rates, over) = ramp.split_once('/').ok_or_else(refused)?;
                let (from, to) = rates.split_once("..").ok_or_else(refused)?;
                let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
                let (over, unit) = units
                    .into_iter()
                    .find_map(|(name, unit)| Some((over.strip_suffix(name)?, unit)))
                    .unwrap_or((over, 1.0));
                Ok(Self::Ramp {
                    from: number(from)?,
                    to: number(to)?,
                    over: number(over)? * unit,
                })
            }
            _ => Err(refused()),
        }
    }

    /// Returns the factor by which recorded times are divided.
    pub(crate) fn speed(self) -> f64 {
        match self {
            Self::Speed(factor) => factor,
            _ => 1.0,
        }
    }

    /// Returns the time, ns, that `requests` recorded within `recorded` ns take; 0 if the target decides it.
    pub(crate) fn length(self, recorded: u64, requests: u64) -> u64 {
        match self {
            Self::Recorded => recorded,
            Self::Speed(factor) => scaled(recorded, 1.0 / factor),
            Self::Rate(rate) | Self::Poisson(rate) => scaled(requests, NS_PER_S / rate),
            Self::Ramp { from, to, over } => ramped(requests, from, to, over),
            Self::Closed | Self::ClosedWithoutThinking | Self::Max => 0,
        }
    }
}

fn per_second(rate: &str) -> &str {
    rate.strip_suffix("/s").unwrap_or(rate)
}

/// Returns the time, ns, at which a rate that changes evenly has let `requests` pass: the root of
/// `from t + (to - from) t² / 2 over`, written so that equal rates divide by nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "times are positive and far below 2^53 ns (104 days)"
)]
fn ramped(requests: u64, from: f64, to: f64, over: f64) -> u64 {
    let wanted = requests as f64;
    let while_it_changes = f64::midpoint(from, to) * over;
    let seconds = if wanted <= while_it_changes {
        2.0 * wanted
            / (from
                + (from * from + 2.0 * (to - from) / over * wanted)
                    .max(0.0)
                    .sqrt())
    } else {
        over + (wanted - while_it_changes) / to
    };
    (seconds * NS_PER_S) as u64
}

/// Schedule of a run, from its first batch to the latest one placed.
#[derive(Debug)]
pub(crate) struct Schedule {
    pacing: Pacing,
    /// Recorded time of the first batch or change, ns; it gets the intended time 0.
    first: Option<u64>,
    /// Requests placed so far.
    requests: u64,
    /// Intended time of the next batch of a Poisson process, s.
    next: f64,
    chance: Chance,
}

/// A sequence of numbers that look independent, the same in every run.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// Returns a duration of an exponential distribution with the mean 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn exponential(&mut self) -> f64 {
        let uniform = (mix::next(&mut self.0) >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }
}

impl Schedule {
    /// Makes a schedule without any batch.
    pub(crate) fn new(pacing: Pacing) -> Self {
        Self {
            pacing,
            first: None,
            requests: 0,
            next: 0.0,
            chance: Chance(0),
        }
    }

    /// Returns the rule.
    pub(crate) fn pacing(&self) -> Pacing {
        self.pacing
    }

    /// Returns the intended time, ns after the start, of a batch of `requests` that arrived at `recorded` ns. Batches
    /// must be placed in order of arrival.
    pub(crate) fn intended(&mut self, recorded: u64, requests: u64) -> u64 {
        let first = *self.first.get_or_insert(recorded);
        let before = self.requests;
        self.requests += requests;
        if let Pacing::Poisson(rate) = self.pacing {
            return self.next_of(rate, requests);
        }
        let elapsed = recorded.saturating_sub(first);
        self.pacing.length(elapsed, before)
    }

    /// Returns the intended time of a batch of a Poisson process. The time after it grows with its requests, so that the
    /// rate of requests is kept.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "times are positive and far below 2^53 ns (104 days)"
    )]
    fn next_of(&mut self, rate: f64, requests: u64) -> u64 {
        let now = self.next;
        self.next += self.chance.exponential() * requests as f64 / rate;
        (now * NS_PER_S) as u64
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
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    const RAMP: Pacing = Pacing::Ramp {
        from: 10.0,
        to: 50.0,
        over: 30.0,
    };

    /// Counts the requests of a pacing that are due within each second.
    fn due_each_second(pacing: Pacing, requests: u64) -> Vec<u32> {
        let mut schedule = Schedule::new(pacing);
        let mut due = Vec::new();
        for number in 0..requests {
            let second = (schedule.intended(number, 1) / 1_000_000_000) as usize;
            due.resize(due.len().max(second + 1), 0);
            due[second] += 1;
        }
        due
    }

    #[test]
    fn a_ramp_lets_pass_in_each_second_what_its_rate_is_in_the_middle_of_it() {
        let due = due_each_second(RAMP, 2_000);
        for (second, found) in due.iter().take(50).enumerate() {
            let middle = (second as f64 + 0.5).min(30.0);
            let rate = if second < 30 {
                10.0 + 40.0 * middle / 30.0
            } else {
                50.0
            };
            assert!(
                (f64::from(*found) - rate).abs() <= 1.0,
                "second {second}: {found}"
            );
        }
        let falling = Pacing::Ramp {
            from: 50.0,
            to: 10.0,
            over: 30.0,
        };
        let due = due_each_second(falling, 1_000);
        assert!(
            due[0].abs_diff(49) <= 1 && due[29].abs_diff(11) <= 1 && due[35] == 10,
            "{due:?}"
        );
        assert_eq!(RAMP.length(0, 900), 30_000_000_000);
    }

    #[test]
    fn a_poisson_process_keeps_its_rate_and_scatters_as_it_should() {
        let mut schedule = Schedule::new(Pacing::Poisson(1_000.0));
        let times: Vec<u64> = (0..200_001)
            .map(|number| schedule.intended(number, 1))
            .collect();
        let gaps: Vec<f64> = times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let longer =
            gaps.iter().filter(|gap| **gap > 2.0 * mean).count() as f64 / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.01, "{mean}");
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.02,
            "{}",
            variance.sqrt() / mean
        );
        assert!((longer - (-2.0_f64).exp()).abs() < 0.005, "{longer}");
    }

    #[test]
    fn a_poisson_process_keeps_its_rate_of_requests_with_batches() {
        let mut schedule = Schedule::new(Pacing::Poisson(1_000.0));
        let mut last = 0;
        for number in 0..50_000 {
            last = schedule.intended(number, 1 + number % 4);
        }
        assert!((last as f64 / 125e9 - 1.0).abs() < 0.03, "{last}");
    }

    #[test]
    fn pacing_is_parsed_or_refused_by_name() {
        let table = [
            ("recorded", Some(Pacing::Recorded)),
            ("speed=2", Some(Pacing::Speed(2.0))),
            ("speed=0.5", Some(Pacing::Speed(0.5))),
            ("rate=50000/s", Some(Pacing::Rate(50_000.0))),
            ("rate=50000", Some(Pacing::Rate(50_000.0))),
            ("poisson=50000/s", Some(Pacing::Poisson(50_000.0))),
            ("ramp=10..50/30s", Some(RAMP)),
            ("ramp=10..50/30", Some(RAMP)),
            ("ramp=10..50/0.5m", Some(RAMP)),
            ("ramp=10..50/30000ms", Some(RAMP)),
            ("rate=1e-300/s", None),
            ("speed=1e-320", None),
            ("rate=1e300/s", None),
            ("ramp=10..50", None),
            ("ramp=10/30s", None),
            ("ramp=0..50/30s", None),
            ("ramp=10..50/0s", None),
            ("poisson=0", None),
            ("speed=0", None),
            ("speed=-1", None),
            ("speed=inf", None),
            ("rate=NaN", None),
            ("max", Some(Pacing::Max)),
            ("closed", Some(Pacing::Closed)),
            ("closed=no-think", Some(Pacing::ClosedWithoutThinking)),
            ("closed=think", None),
            ("max=1", None),
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
