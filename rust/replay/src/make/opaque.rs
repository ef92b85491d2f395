//! A counter → opaque tokens of the recorded sizes, by which a connection's quiet requests are told apart.

/// Longest opaque token memcached takes, bytes.
pub const OPAQUE_MAX: usize = 32;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An opaque token: the last digits of a connection's own counter. As each connection counts by itself, and only the
/// requests that carry a token, the tokens of the 62 that were sent last differ even where they are one byte long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opaque {
    /// Which token of its connection it is.
    pub number: u64,
    /// Its length, bytes; 0 for none.
    pub size: u8,
}

impl Opaque {
    /// Its characters, in the last [`Self::len`] places of `room`.
    pub fn spell(self, room: &mut [u8; OPAQUE_MAX]) -> &[u8] {
        let mut number = self.number;
        for digit in room.iter_mut().rev() {
            let value = usize::try_from(number % 62).unwrap_or(0);
            *digit = DIGITS.get(value).copied().unwrap_or(b'0');
            number /= 62;
        }
        let start = OPAQUE_MAX - usize::from(self.size).min(OPAQUE_MAX);
        room.get(start..).unwrap_or_default()
    }

    /// The four bytes of a binary request.
    pub fn word(self) -> u32 {
        let [_, _, _, _, word @ ..] = self.number.to_be_bytes();
        u32::from_be_bytes(word)
    }

    /// Whether a response that repeats `token` (none: that has none) answers the request with this one.
    pub fn is(self, token: Option<&[u8]>) -> bool {
        self.spell(&mut [0; OPAQUE_MAX]) == token.unwrap_or_default()
    }
}

/// Numbers the tokens of one connection.
#[derive(Debug, Default)]
pub struct Opaques {
    next: u64,
}

impl Opaques {
    /// The token of a request whose recorded one had `size` bytes; it takes a number only where there is one.
    pub fn next(&mut self, size: u8) -> Opaque {
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
        let mut opaques = Opaques::default();
        let tokens: HashSet<Vec<u8>> = (0..62).map(|_| spelled(opaques.next(1))).collect();
        assert_eq!(tokens.len(), 62);
    }

    #[test]
    fn requests_without_a_token_take_no_number() {
        let mut opaques = Opaques::default();
        let first = opaques.next(2);
        opaques.next(0);
        assert_eq!((first.number, opaques.next(2).number), (0, 1));
    }

    #[test]
    fn a_token_has_the_recorded_size_and_is_only_itself() {
        let mut opaques = Opaques { next: 61 };
        for (size, text) in [(1, "z"), (2, "10"), (3, "011")] {
            let opaque = opaques.next(size);
            assert_eq!(spelled(opaque), text.as_bytes());
            assert!(opaque.is(Some(text.as_bytes())));
            assert!(!opaque.is(Some(b"q")) && !opaque.is(None));
        }
        assert!(opaques.next(0).is(None));
    }
}
