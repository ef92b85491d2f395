//! Words of a message → [`Key`] and [`Keys`], the names of items.

use crate::base64;
use crate::token::Tokens;

/// Longest key as sent, bytes; memcached refuses longer ones.
pub const KEY_SIZE_MAX: usize = 250;

/// The key of an item, as a message contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    raw: &'a [u8],
    base64: bool,
}

impl<'a> Key<'a> {
    /// Creates a key from the word `raw`, which is the key itself or its base64 encoding.
    pub const fn new(raw: &'a [u8], base64: bool) -> Self {
        Self { raw, base64 }
    }

    /// The word on the wire.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// True if the word is base64 (flag `b`).
    pub const fn is_base64(&self) -> bool {
        self.base64
    }

    /// Returns the key itself: the word, decoded into `scratch` if it is base64. A word that cannot be decoded is
    /// returned unchanged; memcached refuses such a request.
    #[inline]
    pub fn decode<'b>(&self, scratch: &'b mut [u8; 256]) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.base64 {
            return self.raw;
        }
        match base64::decode(self.raw, scratch) {
            Some(size) => &scratch[..size],
            None => self.raw,
        }
    }
}

/// Iterator over the keys of a request, in the order sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys<'a> {
    place: Place<'a>,
    count: usize,
    base64: bool,
}

/// The place of a request's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place<'a> {
    /// Words of a line.
    Line(Tokens<'a>),
    /// One key, which may hold any bytes.
    Single(&'a [u8]),
}

impl<'a> Keys<'a> {
    pub(crate) const NONE: Self = Self::many(Tokens::new(b""), 0);

    /// Creates an iterator over one key, which may hold spaces or any other byte.
    pub(crate) const fn one(key: &'a [u8], base64: bool) -> Self {
        Self {
            place: Place::Single(key),
            count: 1,
            base64,
        }
    }

    /// Creates an iterator over the words of a line, of which there are `count`.
    pub(crate) const fn many(tokens: Tokens<'a>, count: usize) -> Self {
        Self {
            place: Place::Line(tokens),
            count,
            base64: false,
        }
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = Key<'a>;

    #[inline]
    fn next(&mut self) -> Option<Key<'a>> {
        let raw = match &mut self.place {
            Place::Line(tokens) => tokens.next()?,
            Place::Single(key) if self.count > 0 => key,
            Place::Single(_) => return None,
        };
        self.count = self.count.saturating_sub(1);
        Some(Key::new(raw, self.base64))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Keys<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base64_key_is_its_decoded_bytes() {
        let mut scratch = [0; 256];
        assert_eq!(Key::new(b"Zm9v", true).decode(&mut scratch), b"foo");
        assert_eq!(Key::new(b"Zm9v", false).decode(&mut scratch), b"Zm9v");
        assert_eq!(Key::new(b"Zm9", true).decode(&mut scratch), b"Zm9");
        let long = [b'A'; 400];
        assert_eq!(Key::new(&long, true).decode(&mut scratch), long);
    }

    #[test]
    fn keys_know_how_many_are_left() {
        let mut keys = Keys::many(Tokens::new(b"a  b c "), 3);
        assert_eq!(keys.len(), 3);
        assert_eq!(keys.next().map(|key| key.raw()), Some(&b"a"[..]));
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.count(), 2);
    }
}
