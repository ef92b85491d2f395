//! Operations that look a key up → hits and misses: what every hit ratio counts.

use serde::Serialize;

use crate::event::{Command, Event, Outcome};

/// The result of looking a key up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The item was found.
    Hit,
    /// There was no item.
    Miss,
    /// The answer was not seen, or is not certain.
    Unseen,
}

impl Lookup {
    /// Returns the result of a command with this outcome; `None` for a command that looks no key up, or was refused.
    ///
    /// A quiet read without an answer is a miss: memcached answers its hits only. A win without a value means that this
    /// very request created the item.
    ///
    /// ```
    /// use membench_event::{Command, Lookup, Outcome};
    ///
    /// let of = |command, outcome| Lookup::new(command, Some(outcome), None);
    /// assert_eq!(of(Command::Get, Outcome::Suppressed), Some(Lookup::Miss));
    /// assert_eq!(of(Command::MetaGet, Outcome::Won), Some(Lookup::Miss));
    /// assert_eq!(of(Command::Set, Outcome::Stored), None);
    /// ```
    pub fn new(
        command: Command,
        outcome: Option<Outcome>,
        value_size: Option<u32>,
    ) -> Option<Self> {
        use Command::{Gat, Gats, Get, Gets, MetaGet};
        if !matches!(command, Get | Gets | Gat | Gats | MetaGet) {
            return None;
        }
        match outcome {
            None => Some(Self::Unseen),
            Some(Outcome::ClientError | Outcome::ServerError) => None,
            Some(Outcome::Won) if value_size.is_none_or(|size| size == 0) => Some(Self::Miss),
            Some(Outcome::Miss | Outcome::NotFound | Outcome::Suppressed) => Some(Self::Miss),
            Some(_) => Some(Self::Hit),
        }
    }
}

impl Event {
    /// Returns the result of the look-up; `None` if the event is none, or was refused.
    pub fn lookup(&self) -> Option<Lookup> {
        Lookup::new(self.command, self.outcome, self.value_size)
    }
}

/// Number of keys looked up, by result. A multi-get of N keys is N reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reads {
    /// Reads that found their item.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Reads whose answer was not seen. No ratio counts them.
    pub unseen: u64,
}

impl Reads {
    /// Counts reads of this result.
    pub fn add(&mut self, lookup: Lookup, count: u64) {
        match lookup {
            Lookup::Hit => self.hits += count,
            Lookup::Miss => self.misses += count,
            Lookup::Unseen => self.unseen += count,
        }
    }

    /// Adds other reads.
    pub fn merge(&mut self, other: Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.unseen += other.unseen;
    }

    /// Number of reads whose answer was seen.
    pub fn seen(&self) -> u64 {
        self.hits + self.misses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_of_a_read_is_a_hit_a_miss_or_refused() {
        let of = |outcome, size| Lookup::new(Command::MetaGet, Some(outcome), size);
        for outcome in Outcome::ALL {
            let expected = match outcome {
                Outcome::ClientError | Outcome::ServerError => None,
                Outcome::Miss | Outcome::NotFound | Outcome::Suppressed => Some(Lookup::Miss),
                _ => Some(Lookup::Hit),
            };
            assert_eq!(of(*outcome, Some(3)), expected, "{outcome:?}");
        }
        assert_eq!(of(Outcome::Won, Some(0)), Some(Lookup::Miss));
        assert_eq!(of(Outcome::Won, None), Some(Lookup::Miss));
        assert_eq!(Lookup::new(Command::Get, None, None), Some(Lookup::Unseen));
    }
}
