//! 64-bit ids → dense ordinals, so that state kept per id is an array.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::{Error, Result};

/// Most distinct ids: more of them need more memory than machines have.
const LIMIT: u32 = 1 << 31;

/// Numbers ids 0, 1, 2, … in the order of their first occurrence.
#[derive(Default)]
pub(super) struct Numbering {
    ordinals: HashMap<u64, u32, BuildHasherDefault<IdHasher>>,
}

impl Numbering {
    /// Returns the ordinal of an id, assigning the next one to a new id.
    pub(super) fn number(&mut self, id: u64) -> Result<usize> {
        let next = u32::try_from(self.ordinals.len()).unwrap_or(LIMIT);
        let ordinal = *self.ordinals.entry(id).or_insert(next);
        if ordinal >= LIMIT {
            return Err(Error::TooManyKeys {
                limit: u64::from(LIMIT),
            });
        }
        Ok(ordinal as usize)
    }

    /// Returns the ids of `ordinals`, in their order.
    pub(super) fn ids(&self, ordinals: &[usize]) -> Vec<u64> {
        let mut ids = vec![0; ordinals.len()];
        for (&id, &ordinal) in &self.ordinals {
            if let Some(place) = ordinals.iter().position(|&it| it == ordinal as usize) {
                ids[place] = id;
            }
        }
        ids
    }
}

/// Hasher of ids. Key ids are keyed hashes already; one multiplication also spreads the small integers of imported
/// traces.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbered_in_the_order_of_their_first_occurrence() {
        let mut numbering = Numbering::default();
        let ordinals: Vec<_> = [7, 9, 7, u64::MAX, 9]
            .iter()
            .map(|&id| numbering.number(id).ok())
            .collect();
        assert_eq!(ordinals, [Some(0), Some(1), Some(0), Some(2), Some(1)]);
        assert_eq!(numbering.ids(&[2, 0]), [u64::MAX, 7]);
    }
}
