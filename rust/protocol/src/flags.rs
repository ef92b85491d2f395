//! Words after a meta command's key → its flags.

use crate::token::Tokens;

/// A flag of a meta request or response: a letter and its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaFlag<'a> {
    /// The letter.
    pub letter: u8,
    /// The rest of the word after the letter; empty for most flags.
    pub token: &'a [u8],
}

/// Iterator over the flags of a meta request or response, in the order sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFlags<'a> {
    tokens: Tokens<'a>,
}

impl<'a> MetaFlags<'a> {
    pub(crate) const NONE: Self = Self::new(Tokens::new(b""));

    pub(crate) const fn new(tokens: Tokens<'a>) -> Self {
        Self { tokens }
    }

    /// Returns the token of the first flag `letter`, if present.
    pub fn token(&self, letter: u8) -> Option<&'a [u8]> {
        self.clone()
            .find(|flag| flag.letter == letter)
            .map(|flag| flag.token)
    }

    /// Returns true if flag `letter` is present.
    pub fn has(&self, letter: u8) -> bool {
        self.token(letter).is_some()
    }

    /// Returns the letters of all flags.
    pub fn letters(&self) -> Letters {
        let mut letters = Letters::NONE;
        for flag in self.clone() {
            letters.insert(flag.letter);
        }
        letters
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

/// A set of ASCII characters below DEL, in practice letters of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Letters(u128);

impl Letters {
    pub(crate) const NONE: Self = Self(0);

    /// Creates the set of `letters`.
    pub const fn new(letters: &[u8]) -> Self {
        let mut set = Self(0);
        let mut index = 0;
        while index < letters.len() {
            set.insert(letters[index]);
            index += 1;
        }
        set
    }

    /// Adds a letter; false if it was already in the set, or is not below DEL: memcached calls both a duplicate.
    pub const fn insert(&mut self, letter: u8) -> bool {
        if letter >= 127 || self.has(letter) {
            return false;
        }
        self.0 |= 1 << letter;
        true
    }

    /// Returns true if the set holds this letter.
    pub const fn has(self, letter: u8) -> bool {
        letter < 127 && self.0 >> letter & 1 == 1
    }
}
