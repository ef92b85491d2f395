//! A part of a recording, the number of times it is replayed, and that of the copies of its clients.

use crate::mix::{GOLDEN, mix};

/// Part of a recording, and the number of times it is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Start of the part, ns after the start of the recording.
    pub from: u64,
    /// End of the part, ns after the start of the recording; `None` is its end.
    pub until: Option<u64>,
    /// Number of times the part is replayed, one after the other; 0 counts as 1.
    pub rounds: u32,
    /// Each round has keys of its own.
    pub fresh_keys: bool,
    /// Number of copies of the clients that replay it at the same time, each over connections of its own; 0 counts as 1.
    pub copies: u32,
    /// The copies have the same keys.
    pub shared_keys: bool,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            from: 0,
            until: None,
            rounds: 1,
            fresh_keys: false,
            copies: 1,
            shared_keys: false,
        }
    }
}

impl Extent {
    /// Returns the number of times that each request is sent.
    pub(crate) fn times(&self) -> u64 {
        u64::from(self.rounds.max(1)) * u64::from(self.copies.max(1))
    }

    /// True if an event at `time` is in the part; `start` is that of the recording, in ns on the same clock.
    pub(crate) fn has(&self, start: u64, time: u64) -> bool {
        time >= start.saturating_add(self.from) && !self.is_over(start, time)
    }

    /// True if the part has ended at `time`.
    pub(crate) fn is_over(&self, start: u64, time: u64) -> bool {
        self.until
            .is_some_and(|until| time >= start.saturating_add(until))
    }

    /// Returns the number of the set of keys that a copy has in a round; set 0 has the ids of the recording.
    pub(crate) fn key_set(&self, round: u32, copy: u32) -> u64 {
        let round = if self.fresh_keys { round } else { 0 };
        let (copy, copies) = if self.shared_keys {
            (0, 1)
        } else {
            (copy, self.copies.max(1))
        };
        u64::from(round) * u64::from(copies) + u64::from(copy)
    }

    /// Returns the numbers of all sets of keys.
    pub(crate) fn key_sets(&self) -> std::ops::Range<u64> {
        let last = self.key_set(self.rounds.max(1) - 1, self.copies.max(1) - 1);
        0..last + 1
    }
}

/// Returns the id of a key in a set of keys. Ids of one set are distinct as the recorded ones are, and those of two sets
/// are as far apart as the recorded ones, which are random.
pub(crate) fn id_in_set(id: u64, set: u64) -> u64 {
    if set == 0 {
        return id;
    }
    // Distinct sets give distinct masks.
    id ^ mix(set.wrapping_mul(GOLDEN))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_round_and_copy_has_the_keys_that_the_extent_gives_it() {
        let table = [
            // Fresh keys, shared keys, number of sets of 3 rounds and 2 copies.
            (false, true, 1),
            (false, false, 2),
            (true, true, 3),
            (true, false, 6),
        ];
        for (fresh_keys, shared_keys, sets) in table {
            let extent = Extent {
                rounds: 3,
                copies: 2,
                fresh_keys,
                shared_keys,
                ..Extent::default()
            };
            let used: HashSet<u64> = (0..3)
                .flat_map(|round| (0..2).map(move |copy| (round, copy)))
                .map(|(round, copy)| extent.key_set(round, copy))
                .collect();
            assert_eq!(used, extent.key_sets().collect(), "{extent:?}");
            assert_eq!(used.len(), sets);
        }
    }

    #[test]
    fn ids_of_several_sets_are_distinct() {
        let ids: HashSet<u64> = (0..100)
            .flat_map(|set| (0..1000).map(move |id| id_in_set(id, set)))
            .collect();
        assert_eq!(ids.len(), 100_000);
        assert_eq!(id_in_set(7, 0), 7);
    }

    #[test]
    fn a_part_includes_its_start_and_excludes_its_end() {
        let part = Extent {
            from: 10,
            until: Some(20),
            ..Extent::default()
        };
        let inside: Vec<u64> = (100..130).filter(|time| part.has(100, *time)).collect();
        assert_eq!(inside, (110..120).collect::<Vec<_>>());
    }
}
