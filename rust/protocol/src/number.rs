//! Decimal words → numbers, by the rules of C's `strtol`, which memcached reads requests with.

/// Parses a signed 32-bit number. Larger values wrap, because memcached stores its 64-bit result in 32 bits.
pub(crate) fn signed(word: &[u8]) -> Option<i32> {
    let [a, b, c, d, ..] = wide(word)?.to_le_bytes();
    Some(i32::from_le_bytes([a, b, c, d]))
}

/// Parses a signed 64-bit number.
pub(crate) fn wide(word: &[u8]) -> Option<i64> {
    let Decimal { negative, size } = Decimal::read(word)?;
    if negative {
        0_i64.checked_sub_unsigned(size)
    } else {
        i64::try_from(size).ok()
    }
}

/// Parses an unsigned 64-bit number. A negative number wraps; it is refused only if the result has the highest bit set.
pub(crate) fn unsigned(word: &[u8]) -> Option<u64> {
    let Decimal { negative, size } = Decimal::read(word)?;
    let value = if negative { size.wrapping_neg() } else { size };
    (!negative || i64::try_from(value).is_ok()).then_some(value)
}

/// Parses an unsigned 32-bit number; larger values wrap.
pub(crate) fn flags(word: &[u8]) -> Option<u32> {
    let [a, b, c, d, ..] = unsigned(word)?.to_le_bytes();
    Some(u32::from_le_bytes([a, b, c, d]))
}

/// Parses a number of digits only, the form in which memcached writes numbers.
pub(crate) fn plain(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

struct Decimal {
    negative: bool,
    size: u64,
}

impl Decimal {
    fn read(word: &[u8]) -> Option<Self> {
        let start = word.iter().position(|byte| !is_space(*byte))?;
        let (negative, digits) = match &word[start..] {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        let end = digits
            .iter()
            .position(|byte| is_space(*byte))
            .unwrap_or(digits.len());
        let size = plain(&digits[..end])?;
        Some(Self { negative, size })
    }
}

/// C's `isspace`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_words_are_read_as_strtol_does() {
        let table: &[(&[u8], Option<i32>)] = &[
            (b"0", Some(0)),
            (b"-1", Some(-1)),
            (b"+7", Some(7)),
            (b"\t12\r", Some(12)),
            (b"4294967301", Some(5)),
            (b"2147483648", Some(i32::MIN)),
            (b"9223372036854775808", None),
            (b"-9223372036854775808", Some(0)),
            (b"", None),
            (b"-", None),
            (b"12x", None),
            (b"x", None),
            (b"--1", None),
        ];
        for (word, expected) in table {
            assert_eq!(signed(word), *expected, "{word:?}");
        }
    }

    #[test]
    fn unsigned_words_are_read_as_strtoull_does() {
        let table: &[(&[u8], Option<u64>)] = &[
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"-1", None),
            (b"-18446744073709551615", Some(1)),
            (b"-0", Some(0)),
            (b"+3", Some(3)),
            (b"", None),
        ];
        for (word, expected) in table {
            assert_eq!(unsigned(word), *expected, "{word:?}");
        }
        assert_eq!(flags(b"4294967297"), Some(1));
    }
}
