//! The words after a meta command's key → its flags.

use crate::token::Tokens;

/// A flag of a meta request or response: its letter and the rest of its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaFlag<'a> {
    /// The letter.
    pub letter: u8,
    /// What follows the letter; empty for most flags.
    pub token: &'a [u8],
}

/// The flags of a meta request or response, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFlags<'a> {
    tokens: Tokens<'a>,
}

impl<'a> MetaFlags<'a> {
    pub(crate) const NONE: Self = Self::new(Tokens::new(b""));

    pub(crate) const fn new(tokens: Tokens<'a>) -> Self {
        Self { tokens }
    }

    /// The token of the first flag `letter`, if that flag is there.
    pub fn token(&self, letter: u8) -> Option<&'a [u8]> {
        self.clone()
            .find(|flag| flag.letter == letter)
            .map(|flag| flag.token)
    }

    /// Whether flag `letter` is there.
    pub fn has(&self, letter: u8) -> bool {
        self.token(letter).is_some()
    }
}

impl<'a> Iterator for MetaFlags<'a> {
    type Item = MetaFlag<'a>;

    fn next(&mut self) -> Option<MetaFlag<'a>> {
        let (letter, token) = self.tokens.next()?.split_first()?;
        Some(MetaFlag {
            letter: *letter,
            token,
        })
    }
}

/// Letters seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Letters(u128);

impl Letters {
    pub(crate) const NONE: Self = Self(0);

    /// A set of letters below DEL.
    pub(crate) const fn of(letters: &[u8]) -> Self {
        let mut set = Self(0);
        let mut index = 0;
        while index < letters.len() {
            set.insert(letters[index]);
            index += 1;
        }
        set
    }

    /// Adds a letter; false if it was there or is no ASCII letter below DEL, which memcached calls a duplicate, too.
    pub(crate) const fn insert(&mut self, letter: u8) -> bool {
        if letter >= 127 || self.has(letter) {
            return false;
        }
        self.0 |= 1 << letter;
        true
    }

    pub(crate) const fn has(self, letter: u8) -> bool {
        letter < 127 && self.0 >> letter & 1 == 1
    }
}
