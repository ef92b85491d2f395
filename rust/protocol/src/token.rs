//! Line → its words.

use memchr::{memchr, memchr_iter};

/// Iterator over the words of a line, split at runs of spaces and, as in memcached, at nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(crate) const fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    /// Returns true if at least `count` words are left. A rest that is too short for them, or has too few spaces, is not
    /// split.
    pub(crate) fn are_at_least(&self, count: usize) -> bool {
        self.rest.len() >= 2 * count - 1
            && memchr_iter(b' ', self.rest).count() + 1 >= count
            && self.clone().count() >= count
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr(b' ', self.rest).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(token)
    }
}

/// Number of words kept: those of `cas` after its verb, the longest line whose words have fixed positions.
const PLACES: usize = 6;

/// The first words of a line, their total number, and the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    first: [&'a [u8]; PLACES],
    pub(crate) count: usize,
    pub(crate) last: &'a [u8],
}

impl<'a> Words<'a> {
    /// Splits a line, looking at no more than `limit` words.
    pub(crate) fn new(tokens: Tokens<'a>, limit: usize) -> Self {
        let mut words = Self {
            first: [b""; PLACES],
            count: 0,
            last: b"",
        };
        for token in tokens.take(limit) {
            if let Some(place) = words.first.get_mut(words.count) {
                *place = token;
            }
            words.count += 1;
            words.last = token;
        }
        words
    }

    /// Returns word `index`; empty if the line has no such word.
    pub(crate) fn get(&self, index: usize) -> &'a [u8] {
        self.first.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn words_are_split_at_runs_of_spaces_only() {
        let table: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b"   ", &[]),
            (b"a", &[b"a"]),
            (b"  a   bc ", &[b"a", b"bc"]),
            (b"a\tb c\r", &[b"a\tb", b"c\r"]),
        ];
        for (line, expected) in table {
            assert_eq!(Tokens::new(line).collect::<Vec<_>>(), *expected);
        }
    }

    #[test]
    fn words_beyond_the_fixed_places_are_counted() {
        let words = Words::new(Tokens::new(b"a b c d e f g h i"), 8);
        assert_eq!((words.get(5), words.get(6)), (&b"f"[..], &b""[..]));
        assert_eq!((words.count, words.last), (8, &b"h"[..]));
    }
}
