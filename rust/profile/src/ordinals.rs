//! A set of ordinals, which takes at most half a gigabyte whatever is put into it.

/// Ordinals of one chunk.
const CHUNK: usize = 1 << 16;
/// Words of one chunk.
const WORDS: usize = CHUNK / 64;

/// Set of 32-bit ordinals: one bit each, in chunks that are made when needed. Ordinals that follow each other, as
/// recorders give them, take one bit each.
#[derive(Clone, Debug, Default)]
pub struct Ordinals {
    chunks: Vec<Option<Box<[u64]>>>,
    len: u64,
}

impl Ordinals {
    /// Adds an ordinal. Returns true if it is new.
    pub fn insert(&mut self, ordinal: u32) -> bool {
        let (chunk, word, bit) = place(ordinal);
        if chunk >= self.chunks.len() {
            self.chunks.resize(chunk + 1, None);
        }
        let words = self.chunks[chunk].get_or_insert_with(|| vec![0; WORDS].into());
        let is_new = words[word] & bit == 0;
        words[word] |= bit;
        self.len += u64::from(is_new);
        is_new
    }

    /// Removes an ordinal. Returns true if it was there.
    pub fn remove(&mut self, ordinal: u32) -> bool {
        let (chunk, word, bit) = place(ordinal);
        let Some(Some(words)) = self.chunks.get_mut(chunk) else {
            return false;
        };
        let was_there = words[word] & bit != 0;
        words[word] &= !bit;
        self.len -= u64::from(was_there);
        was_there
    }

    /// True if an ordinal is in the set.
    pub fn contains(&self, ordinal: u32) -> bool {
        let (chunk, word, bit) = place(ordinal);
        let words = self.chunks.get(chunk).and_then(Option::as_ref);
        words.is_some_and(|words| words[word] & bit != 0)
    }

    /// Number of ordinals.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Extend<u32> for Ordinals {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, ordinals: I) {
        for ordinal in ordinals {
            self.insert(ordinal);
        }
    }
}

/// Chunk, word and bit of an ordinal.
fn place(ordinal: u32) -> (usize, usize, u64) {
    let ordinal = ordinal as usize;
    (ordinal / CHUNK, ordinal % CHUNK / 64, 1 << (ordinal % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let mut set = Ordinals::default();
        for ordinal in [0, 63, 64, 65_535, 65_536, u32::MAX] {
            assert!(!set.contains(ordinal));
            assert!(set.insert(ordinal));
            assert!(!set.insert(ordinal));
            assert!(set.contains(ordinal));
        }
        assert_eq!(set.len(), 6);
        assert!(set.remove(64));
        assert!(!set.remove(64));
        assert!(!set.contains(64));
        assert_eq!((set.len(), set.is_empty()), (5, false));
    }
}
