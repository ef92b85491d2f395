//! The verifier's log of a rejected program → its end, and how much the verifier looked at.

/// Bytes of a log that an error message shows: its end says why.
const TAIL: usize = 2_000;

/// The verifier's log of a program that it rejected.
///
/// It is complete up to 16 MiB: a load that fails is repeated with a larger buffer as long as the kernel answers `ENOSPC`.
/// A longer log is cut to its end since Linux 6.4, and to its beginning before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifierLog(String);

impl VerifierLog {
    /// Takes a log as the kernel wrote it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns true if the verifier said nothing: the load failed before it or after it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the whole log.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the end of the log, at most 2 000 bytes: the rejected instruction, the reason, and the number of
    /// instructions that were processed.
    pub fn tail(&self) -> &str {
        tail(&self.0, TAIL)
    }

    /// Returns how many instructions the verifier processed before it gave up; its limit is one million. `None` if the
    /// log does not say.
    pub fn processed_instructions(&self) -> Option<u64> {
        let line = self
            .0
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("processed "))?;
        line.split(' ').next()?.parse().ok()
    }
}

fn tail(text: &str, bytes: usize) -> &str {
    let start = text.len().saturating_sub(bytes);
    let start = (start..=text.len())
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_shown_by_its_end() {
        assert_eq!(tail("0123456789", 4), "6789");
        assert_eq!(tail("é789", 4), "789");
        assert_eq!(tail("short", 100), "short");
    }

    #[test]
    fn the_instructions_that_were_processed_are_in_the_last_lines() {
        let log = VerifierLog::new(
            "0: (bf) r6 = r1\nprocessed 17 insns (limit 1000000) max_states_per_insn 0 total_states 1\n",
        );
        assert_eq!(log.processed_instructions(), Some(17));
        assert_eq!(VerifierLog::default().processed_instructions(), None);
    }
}
