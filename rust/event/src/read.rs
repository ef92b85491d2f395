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
    /// A quiet read without an answer is a miss: memcached answers its hits only. A win is a hit on an item that is stale
    /// or about to expire. Only a request that `creates` a missing item (meta `N`) also wins by a miss: the new item has
    /// no value.
    ///
    /// ```
    /// use membench_event::{Command, Lookup, Outcome};
    ///
    /// let of = |command, outcome, creates| Lookup::new(command, Some(outcome), creates, None);
    /// assert_eq!(of(Command::Get, Outcome::Suppressed, false), Some(Lookup::Miss));
    /// assert_eq!(of(Command::MetaGet, Outcome::Won, false), Some(Lookup::Hit));
    /// assert_eq!(of(Command::MetaGet, Outcome::Won, true), Some(Lookup::Miss));
    /// assert_eq!(of(Command::Set, Outcome::Stored, false), None);
    /// ```
    pub fn new(
        command: Command,
        outcome: Option<Outcome>,
        creates: bool,
        value_size: Option<u32>,
    ) -> Option<Self> {
        use Command::{Gat, Gats, Get, Gets, MetaGet};
        if !matches!(command, Get | Gets | Gat | Gats | MetaGet) {
            return None;
        }
        match outcome {
            None => Some(Self::Unseen),
            Some(Outcome::ClientError | Outcome::ServerError) => None,
            Some(Outcome::Won) if creates && value_size.is_none_or(|size| size == 0) => {
                Some(Self::Miss)
            }
            Some(Outcome::Miss | Outcome::NotFound | Outcome::Suppressed) => Some(Self::Miss),
            Some(_) => Some(Self::Hit),
        }
    }
}

impl Event {
    /// Returns the result of the look-up; `None` if the event is none, or was refused.
    pub fn lookup(&self) -> Option<Lookup> {
        let creates = self.vivify_ttl.is_some();
        Lookup::new(self.command, self.outcome, creates, self.value_size)
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
        let of =
            |outcome, creates, size| Lookup::new(Command::MetaGet, Some(outcome), creates, size);
        for outcome in Outcome::ALL {
            let expected = match outcome {
                Outcome::ClientError | Outcome::ServerError => None,
                Outcome::Miss | Outcome::NotFound | Outcome::Suppressed => Some(Lookup::Miss),
                _ => Some(Lookup::Hit),
            };
            assert_eq!(of(*outcome, false, Some(3)), expected, "{outcome:?}");
            assert_eq!(of(*outcome, false, None), expected, "{outcome:?}");
        }
        let unseen = Lookup::new(Command::Get, None, false, None);
        assert_eq!(unseen, Some(Lookup::Unseen));
    }

    #[test]
    fn a_win_is_a_miss_only_if_the_request_created_the_item() {
        let win = |creates, size| Lookup::new(Command::MetaGet, Some(Outcome::Won), creates, size);
        assert_eq!(win(true, Some(0)), Some(Lookup::Miss));
        assert_eq!(win(true, None), Some(Lookup::Miss));
        // A stale item, and one about to expire, is found with its value.
        assert_eq!(win(true, Some(3)), Some(Lookup::Hit));
        assert_eq!(win(false, Some(0)), Some(Lookup::Hit));
        assert_eq!(win(false, None), Some(Lookup::Hit));
    }
}
