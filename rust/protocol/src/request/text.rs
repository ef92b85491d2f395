//! Words after a text verb → the fields of its [`Request`].

use super::{Form, Request};
use crate::token::{Tokens, Words};
use crate::{Command, Dialect, KEY_SIZE_MAX, Keys, number};

/// Largest size of a data block that memcached accepts, bytes: it adds two for the line end in 31 bits.
pub(super) const VALUE_SIZE_MAX: i32 = i32::MAX - 2;

impl<'a> Request<'a> {
    pub(super) fn text(&mut self, tokens: Tokens<'a>, dialect: Dialect) {
        match self.command {
            Command::Get | Command::Gets => self.retrieval(tokens),
            Command::Gat | Command::Gats => self.retrieval_with_touch(tokens, dialect),
            Command::Set
            | Command::Add
            | Command::Replace
            | Command::Append
            | Command::Prepend
            | Command::Cas => self.storage(&Self::words(tokens, dialect), dialect),
            Command::Delete => self.delete(&Self::words(tokens, dialect), dialect),
            Command::Incr | Command::Decr => {
                self.arithmetic(&Self::words(tokens, dialect), dialect);
            }
            Command::Touch => self.touch(&Self::words(tokens, dialect), dialect),
            Command::FlushAll => self.flush_all(&Self::words(tokens, dialect), dialect),
            Command::Verbosity => self.verbosity(&Self::words(tokens, dialect), dialect),
            Command::Quit => self.closes = true,
            Command::Stats => self.statistics(&Self::words(tokens, dialect), dialect),
            Command::Other => self.other(tokens, dialect),
            _ => {}
        }
    }

    pub(super) fn retrieval(&mut self, keys: Tokens<'a>) {
        let (mut count, mut too_long, mut last) = (0, false, &b""[..]);
        for key in keys.clone() {
            count += 1;
            too_long |= key.len() > KEY_SIZE_MAX;
            last = key;
        }
        self.keys = match count {
            1 => Keys::one(last, false),
            _ => Keys::many(keys, count),
        };
        self.refused = count == 0 || too_long;
    }

    /// Reads a `gat` or `gats`. The classic parser accepts one without keys.
    fn retrieval_with_touch(&mut self, mut tokens: Tokens<'a>, dialect: Dialect) {
        self.ttl = tokens.next().and_then(number::signed);
        self.retrieval(tokens);
        let keyless = self.keys.len() == 0 && !dialect.is_shared();
        self.refused = self.ttl.is_none() || self.refused && !keyless;
    }

    fn storage(&mut self, words: &Words<'a>, dialect: Dialect) {
        let fixed = if self.command == Command::Cas { 5 } else { 4 };
        let least = if dialect.is_shared() { 4 } else { fixed };
        if !self.fits(words, least, fixed + 1, dialect) {
            return;
        }
        self.client_flags = number::flags(words.get(1));
        self.ttl = number::signed(words.get(2));
        if self.command == Command::Cas {
            self.cas = number::unsigned(words.get(4));
        }
        self.value_size = value_size(words.get(3), dialect);
        if self.value_size.is_none() && dialect.is_shared() {
            self.noreply = false;
        }
        let missing = self.client_flags.is_none()
            || self.ttl.is_none()
            || self.value_size.is_none()
            || (self.command == Command::Cas && self.cas.is_none());
        if missing || self.has_long_key() {
            self.refuse_storage(dialect);
        }
    }

    /// Reads a `delete`. The classic parser accepts a `0` (formerly a delay) after the key, and looks for `noreply` only
    /// there: `delete noreply` deletes that key and is answered.
    fn delete(&mut self, words: &Words<'a>, dialect: Dialect) {
        if !self.fits(words, 1, 3, dialect) {
            return;
        }
        self.noreply &= words.count > 1 || dialect.is_shared();
        let delay = words.get(1) == b"0";
        let valid = match words.count {
            1 => true,
            2 => delay || self.noreply,
            _ => delay && self.noreply,
        };
        self.refused = !valid && !dialect.is_shared() || self.has_long_key();
    }

    fn arithmetic(&mut self, words: &Words<'a>, dialect: Dialect) {
        if self.fits(words, 2, 3, dialect) {
            self.delta = number::unsigned(words.get(1));
            self.refused = self.delta.is_none() || self.has_long_key();
        }
    }

    fn touch(&mut self, words: &Words<'a>, dialect: Dialect) {
        if self.fits(words, 2, 3, dialect) {
            self.ttl = number::signed(words.get(1));
            self.refused = self.ttl.is_none() || self.has_long_key();
        }
    }

    fn flush_all(&mut self, words: &Words<'a>, dialect: Dialect) {
        self.noreply = words.last == b"noreply";
        if words.count > 2 {
            self.noreply &= dialect.is_shared();
            return self.refuse();
        }
        if words.count > usize::from(self.noreply) {
            self.ttl = number::signed(words.get(0));
            self.refused = self.ttl.is_none();
        }
    }

    /// Reads a `stats`. memcached ignores `noreply` here; the shared parser accepts the start of the word `reset`.
    fn statistics(&mut self, words: &Words<'a>, dialect: Dialect) {
        let group = words.get(0);
        let abbreviated = dialect.is_shared() && !group.is_empty() && b"reset".starts_with(group);
        self.resets = group == b"reset" || abbreviated;
        self.form = match group {
            b"sizes_enable" | b"sizes_disable" => Form::Setting,
            _ => Form::Statistics,
        };
    }

    fn verbosity(&mut self, words: &Words<'a>, dialect: Dialect) {
        if words.count == 0 || words.count > 2 && !dialect.is_shared() {
            return self.refuse();
        }
        self.noreply = words.last == b"noreply";
        self.refused = number::flags(words.get(0)).is_none();
    }

    /// Reads the key, and `noreply` if the number of words after the verb is right; refuses the line otherwise. The
    /// shared parser tolerates further words.
    fn fits(&mut self, words: &Words<'a>, least: usize, most: usize, dialect: Dialect) -> bool {
        let fits = words.count >= least && (words.count <= most || dialect.is_shared());
        if words.count > 0 {
            self.keys = Keys::one(words.get(0), false);
        }
        if fits {
            self.noreply = words.last == b"noreply";
        } else {
            self.refuse();
        }
        fits
    }
}

/// Parses the size of a data block; `None` if memcached refuses it. The shared parser accepts digits only.
pub(super) fn value_size(word: &[u8], dialect: Dialect) -> Option<u32> {
    let size = if dialect.is_shared() {
        i32::try_from(number::plain(word)?).ok()?
    } else {
        number::signed(word)?
    };
    u32::try_from(size).ok().filter(|_| size <= VALUE_SIZE_MAX)
}
