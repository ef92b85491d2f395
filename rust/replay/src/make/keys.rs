//! Key ids → keys of the recorded length: distinct ids give distinct keys, of bytes memcached accepts.
//!
//! A key of eleven bytes or more spells its 64-bit id at six bits a byte and needs no table. A shorter key has no room
//! for an id: the ids of each length are numbered in order of appearance, and the key spells that number.

use std::collections::HashMap;

/// Longest key memcached accepts, bytes.
pub(crate) const KEY_MAX: u8 = 250;

/// Bytes that spell a 64-bit id at six bits each.
const SPELLED: usize = 11;

/// Longest key spelled in [`WIDE`], bytes: with 64 letters, so few bytes would not give enough keys.
const WIDE_MAX: usize = 3;

const ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.";

/// Every byte that memcached accepts in a key (all above space except delete), starting with those of [`ALPHABET`].
const WIDE: [u8; 222] = wide_alphabet();

const fn wide_alphabet() -> [u8; 222] {
    let mut all = [0; 222];
    let mut taken = [false; 256];
    let mut count = 0;
    while count < ALPHABET.len() {
        all[count] = ALPHABET[count];
        taken[ALPHABET[count] as usize] = true;
        count += 1;
    }
    let mut byte: u8 = b'!';
    while count < all.len() {
        if !taken[byte as usize] && byte != 0x7f {
            all[count] = byte;
            count += 1;
        }
        byte = byte.wrapping_add(1);
    }
    all
}

/// Numbers given to the ids of keys too short to spell them, by key length.
#[derive(Debug, Default)]
pub(crate) struct ShortKeys {
    numbers: [HashMap<u64, u64>; SPELLED],
}

/// Returns the number of keys of this length that [`append`] can spell.
fn spellable(size: usize) -> u64 {
    let letters = if size <= WIDE_MAX {
        WIDE.len()
    } else {
        ALPHABET.len()
    };
    (letters as u64).saturating_pow(u32::try_from(size).unwrap_or(u32::MAX))
}

impl ShortKeys {
    /// Returns the number of ids whose key is that of another id, because more ids than keys of their length exist.
    pub(crate) fn shared(&self) -> u64 {
        let each = self.numbers.iter().enumerate();
        each.map(|(size, numbers)| (numbers.len() as u64).saturating_sub(spellable(size)))
            .sum()
    }

    /// Returns the number that the key of `size` bytes with this id spells: the id itself if the key is long enough,
    /// else the number given to the id.
    pub(crate) fn number(&mut self, id: u64, size: u8) -> u64 {
        let table = self.numbers.get_mut(usize::from(size));
        table.map_or(id, |numbers| {
            let next = numbers.len() as u64;
            *numbers.entry(id).or_insert(next)
        })
    }
}

/// Appends the key of `size` bytes that spells `number`, which [`ShortKeys::number`] returned.
pub(crate) fn append(out: &mut Vec<u8>, number: u64, size: usize) {
    if size <= WIDE_MAX {
        spell(out, number, size, &WIDE);
    } else {
        spell_id(out, number, size);
    }
}

fn spell_id(out: &mut Vec<u8>, number: u64, size: usize) {
    let mut spelled = [0; SPELLED];
    for (place, byte) in spelled.iter_mut().enumerate() {
        let digit = (number >> (6 * place)) & 63;
        *byte = ALPHABET[usize::try_from(digit).unwrap_or(0)];
    }
    out.extend_from_slice(&spelled[..size.min(SPELLED)]);
    out.resize(out.len() + size.saturating_sub(SPELLED), b'-');
}

fn spell(out: &mut Vec<u8>, mut number: u64, size: usize, alphabet: &[u8]) {
    let base = alphabet.len() as u64;
    for _ in 0..size {
        out.push(alphabet[usize::try_from(number % base).unwrap_or(0)]);
        number /= base;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn key(table: &mut ShortKeys, id: u64, size: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let number = table.number(id, size);
        append(&mut out, number, usize::from(size));
        out
    }

    fn is_legal(key: &[u8]) -> bool {
        key.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
    }

    #[test]
    fn every_length_keeps_its_length_and_legal_bytes() {
        let mut table = ShortKeys::default();
        for size in 1..=KEY_MAX {
            let key = key(&mut table, 0xDEAD_BEEF_0123_4567, size);
            assert_eq!(key.len(), usize::from(size));
            assert!(is_legal(&key), "{size}: {key:?}");
        }
    }

    #[test]
    fn two_hundred_keys_of_one_byte_are_distinct() {
        let mut table = ShortKeys::default();
        let keys: HashSet<_> = (0..200u64).map(|id| key(&mut table, id << 40, 1)).collect();
        assert_eq!(keys.len(), 200);
        assert!(keys.iter().all(|key| is_legal(key)));
    }

    #[test]
    fn ids_beyond_the_keys_of_their_length_are_counted() {
        let mut table = ShortKeys::default();
        let keys: HashSet<_> = (0..300).map(|id| key(&mut table, id, 1)).collect();
        assert_eq!((keys.len(), table.shared()), (222, 78));
        (0..300).for_each(|id| drop(key(&mut table, id, 2)));
        assert_eq!(table.shared(), 78);
    }

    #[test]
    fn an_id_keeps_its_key() {
        let mut table = ShortKeys::default();
        let first = key(&mut table, 7, 4);
        key(&mut table, 8, 4);
        assert_eq!(key(&mut table, 7, 4), first);
    }

    proptest! {
        #[test]
        fn distinct_ids_of_one_length_give_distinct_keys(
            ids in prop::collection::hash_set(any::<u64>(), 2..100),
            size in 2u8..=KEY_MAX,
        ) {
            let mut table = ShortKeys::default();
            let keys: HashSet<_> = ids
                .iter()
                .map(|id| key(&mut table, *id, size))
                .collect();
            prop_assert_eq!(keys.len(), ids.len());
        }
    }
}
