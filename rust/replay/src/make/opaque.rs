//! A counter per connection → opaque tokens of the recorded sizes, which tell the answers to quiet requests apart.

/// Longest opaque token memcached accepts, bytes.
pub(crate) const OPAQUE_MAX: usize = 32;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Opaque token: the last base-62 digits of a counter. Each connection has its own counter, and only requests with a
/// token advance it, so the last 62 tokens of a connection differ even if they are one byte long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opaque {
    /// Number of the token on its connection.
    pub(crate) number: u64,
    /// Length of the token, bytes; 0 for a request without one.
    pub(crate) size: u8,
}

impl Opaque {
    /// Writes the token into the last `size` bytes of `room` and returns them.
    pub(crate) fn spell(self, room: &mut [u8; OPAQUE_MAX]) -> &[u8] {
        let mut number = self.number;
        for digit in room.iter_mut().rev() {
            let value = usize::try_from(number % 62).unwrap_or(0);
            *digit = DIGITS.get(value).copied().unwrap_or(b'0');
            number /= 62;
        }
        let start = OPAQUE_MAX - usize::from(self.size).min(OPAQUE_MAX);
        room.get(start..).unwrap_or_default()
    }

    /// Returns the opaque field of a binary request: the low 32 bits of the number.
    pub(crate) fn word(self) -> u32 {
        let [_, _, _, _, word @ ..] = self.number.to_be_bytes();
        u32::from_be_bytes(word)
    }

    /// True if a response that repeats `token` can answer the request with this one; `None` is a response without a
    /// token, which answers a request without one.
    pub(crate) fn matches(self, token: Option<&[u8]>) -> bool {
        self.spell(&mut [0; OPAQUE_MAX]) == token.unwrap_or_default()
    }
}

/// Counter of the tokens of one connection.
#[derive(Debug, Default)]
pub(crate) struct OpaqueCounter {
    next: u64,
}

impl OpaqueCounter {
    /// Returns the token for a request whose recorded token had `size` bytes. Size 0 is no token and does not advance
    /// the counter.
    pub(crate) fn next(&mut self, size: u8) -> Opaque {
        let number = self.next;
        self.next += u64::from(size != 0);
        Opaque { number, size }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn spelled(opaque: Opaque) -> Vec<u8> {
        opaque.spell(&mut [0; OPAQUE_MAX]).to_vec()
    }

    #[test]
    fn tokens_of_one_byte_differ_for_as_many_requests_as_there_are_digits() {
        let mut opaques = OpaqueCounter::default();
        let tokens: HashSet<Vec<u8>> = (0..62).map(|_| spelled(opaques.next(1))).collect();
        assert_eq!(tokens.len(), 62);
    }

    #[test]
    fn requests_without_a_token_take_no_number() {
        let mut opaques = OpaqueCounter::default();
        let first = opaques.next(2);
        opaques.next(0);
        assert_eq!((first.number, opaques.next(2).number), (0, 1));
    }

    #[test]
    fn a_token_has_the_recorded_size_and_is_only_itself() {
        let mut opaques = OpaqueCounter { next: 61 };
        for (size, text) in [(1, "z"), (2, "10"), (3, "011")] {
            let opaque = opaques.next(size);
            assert_eq!(spelled(opaque), text.as_bytes());
            assert!(opaque.matches(Some(text.as_bytes())));
            assert!(!opaque.matches(Some(b"q")) && !opaque.matches(None));
        }
        assert!(opaques.next(0).matches(None));
    }
}
