//! Requests that cannot leave at their time → sent late, or not at all.

use crate::{Error, Result};

/// Lag from which a request counts as late unless another is given, ns.
const LATE: u64 = 1_000_000;

/// Rule for requests that cannot leave at their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Lag from which a request counts as late, ns.
    pub after: u64,
    /// Late requests are not sent.
    pub drops: bool,
}

impl Default for Late {
    fn default() -> Self {
        Self {
            after: LATE,
            drops: false,
        }
    }
}

impl Late {
    /// Parses `send`, `drop`, `send=5ms` or `drop=5ms`.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || Error::Late {
            given: text.to_owned(),
        };
        let (word, after) = match text.split_once('=') {
            Some((word, time)) => (word, nanoseconds(time).ok_or_else(refused)?),
            None => (text, LATE),
        };
        match word {
            "send" => Ok(Self {
                after,
                drops: false,
            }),
            "drop" => Ok(Self { after, drops: true }),
            _ => Err(refused()),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most an hour"
)]
fn nanoseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];
    let (digits, unit) = UNITS
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let time = digits.parse::<f64>().ok()? * unit;
    (1.0..=3.6e12).contains(&time).then_some(time as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_late_requests_is_parsed_or_refused() {
        let rule = |after, drops| Some(Late { after, drops });
        let table = [
            ("send", rule(LATE, false)),
            ("drop", rule(LATE, true)),
            ("drop=5ms", rule(5_000_000, true)),
            ("send=100us", rule(100_000, false)),
            ("drop=0ms", None),
            ("drop=5", None),
            ("drop=-1ms", None),
            ("drop=NaNs", None),
            ("shift", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Late::parse(text).ok(), expected, "{text}");
        }
    }
}
