//! A seed → values of any size: bytes of the wanted kind, or decimal numbers for counters.

use crate::make::content::ValueBytes;
use crate::mix::next;

/// Bytes generated once, of which values are slices.
const POOL: usize = 1 << 20;

/// Bytes in which compressible values have their share of zeros.
const REPEATED: usize = 100;

/// Longest number that memcached counts with, digits.
const DIGITS_MAX: usize = 20;

const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// Source of values; equal seeds give equal values.
#[derive(Debug)]
pub(crate) struct Values {
    pool: Vec<u8>,
}

impl Values {
    /// Fills the pool with bytes of this kind drawn from `seed`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a hundred"
    )]
    pub(crate) fn new(seed: u64, kind: ValueBytes) -> Self {
        let mut state = seed;
        let zeros = match kind {
            ValueBytes::Zero => REPEATED,
            ValueBytes::Compressible(share) => (share * REPEATED as f64).round() as usize,
            ValueBytes::Text | ValueBytes::Random => 0,
        };
        let pool = (0..POOL / 8)
            .flat_map(|_| next(&mut state).to_le_bytes())
            .enumerate()
            .map(|(place, byte)| match kind {
                ValueBytes::Text => LETTERS[usize::from(byte & 63)],
                _ if place % REPEATED < zeros => 0,
                _ => byte,
            })
            .collect();
        Self { pool }
    }

    /// Appends a value of `size` bytes; `number` chooses where in the pool it starts.
    pub(crate) fn append(&self, out: &mut Vec<u8>, number: u64, size: usize) {
        let mut state = number;
        let mut start = usize::try_from(next(&mut state) % (POOL as u64)).unwrap_or(0);
        let mut left = size;
        while left > 0 {
            let take = left.min(self.pool.len() - start);
            out.extend_from_slice(&self.pool[start..start + take]);
            left -= take;
            start = 0;
        }
    }
}

/// Appends a number of `size` digits: a one, then zeros, so that counting rarely changes the number of digits. A value
/// longer than 20 bytes is no number memcached can count with, and is filled with `x` instead of zeros.
pub(crate) fn append_decimal(out: &mut Vec<u8>, size: usize) {
    if size > 0 {
        out.push(b'1');
    }
    let digit = if size <= DIGITS_MAX { b'0' } else { b'x' };
    out.resize(out.len() + size.saturating_sub(1), digit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_size_and_no_line_ending() {
        let values = Values::new(1, ValueBytes::Text);
        for size in [0, 1, 100, POOL, 3 * POOL + 7] {
            let mut out = Vec::new();
            values.append(&mut out, 42, size);
            assert_eq!(out.len(), size);
            assert!(out.iter().all(u8::is_ascii_graphic));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_values_and_another_seed_others() {
        let value = |seed| {
            let mut out = Vec::new();
            Values::new(seed, ValueBytes::Text).append(&mut out, 9, 64);
            out
        };
        assert_eq!(value(1), value(1));
        assert_ne!(value(1), value(2));
    }

    #[test]
    fn values_have_their_share_of_zeros() {
        let table = [
            (ValueBytes::Zero, 100_000..=100_000),
            (ValueBytes::Compressible(0.6), 60_000..=61_000),
            (ValueBytes::Compressible(0.0), 200..=600),
            (ValueBytes::Random, 200..=600),
            (ValueBytes::Text, 0..=0),
        ];
        for (kind, expected) in table {
            let mut out = Vec::new();
            Values::new(3, kind).append(&mut out, 42, 100_000);
            out.retain(|byte| *byte == 0);
            let zeros = out.len();
            assert!(expected.contains(&zeros), "{kind:?}: {zeros}");
        }
    }

    #[test]
    fn a_decimal_value_of_twenty_digits_is_a_number_memcached_takes() {
        for size in 1..=DIGITS_MAX {
            let mut out = Vec::new();
            append_decimal(&mut out, size);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.len(), size);
            assert!(text.parse::<u64>().is_ok(), "{text}");
        }
    }
}
