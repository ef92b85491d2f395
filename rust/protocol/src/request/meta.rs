//! Words after a meta command → the fields of its [`Request`].

use super::Request;
use super::text::value_size;
use crate::flags::{Letters, MetaFlag};
use crate::token::Tokens;
use crate::{Command, Dialect, KEY_SIZE_MAX, Keys, MetaFlags, base64, number};

/// Most words after the command that the classic parser accepts.
const WORDS_MAX: usize = 18;
/// Flags that the early parser knows.
const EARLY: Letters = Letters::new(b"NTROkstcfvhlquFCMJDIS");
/// Flags that the classic parser knows.
const CLASSIC: Letters = Letters::new(b"bNTRlOPLkstcfvhuqFCMJDI");
/// Flags that the shared parser knows.
const SHARED: Letters = Letters::new(b"bNTRlOPLkstcfvhuqFCMJDIxE");
/// Longest opaque token without its letter, bytes.
const OPAQUE_SIZE_MAX: usize = 31;

impl<'a> Request<'a> {
    pub(super) fn meta(&mut self, mut tokens: Tokens<'a>, dialect: Dialect) {
        if self.command == Command::MetaNoop {
            return;
        }
        let Some(key) = tokens.next() else {
            return self.refuse();
        };
        let most = WORDS_MAX + usize::from(dialect.is_shared());
        let too_many = tokens.are_at_least(most);
        self.keys = Keys::one(key, false);
        if self.command == Command::MetaDebug {
            return self.debug(key, tokens, dialect);
        }
        if self.command == Command::MetaSet && !self.size(&mut tokens, dialect) {
            return;
        }
        self.flags = MetaFlags::new(tokens);
        if key.len() > KEY_SIZE_MAX || too_many {
            self.refuse_storage(dialect);
        } else {
            self.refused = !self.read_flags(key, dialect) || !self.mode_exists();
            self.keys = Keys::one(key, self.base64());
        }
        let is_unreadable = |flag: MetaFlag<'_>| !may_be_flag(flag.letter);
        if self.refused && dialect.is_shared() && self.flags.clone().any(is_unreadable) {
            self.refuse();
        }
    }

    /// Reads the size of an `ms`; false if it has none, in which case memcached reads no data block. To the early parser
    /// it is a flag like others.
    fn size(&mut self, tokens: &mut Tokens<'a>, dialect: Dialect) -> bool {
        let word = match dialect {
            Dialect::Early => early_size(MetaFlags::new(tokens.clone())),
            Dialect::Classic | Dialect::Shared => tokens.next(),
        };
        self.value_size = word.and_then(|word| value_size(word, dialect));
        self.refused = self.value_size.is_none();
        !self.refused
    }

    /// Reads an `me`, which knows one flag only, in one position. A key that cannot be decoded is refused by the
    /// classic parser; to the shared one it is a key of no item.
    fn debug(&mut self, key: &'a [u8], mut tokens: Tokens<'a>, dialect: Dialect) {
        self.flags = MetaFlags::new(tokens.clone());
        let base64 = tokens.next() == Some(b"b");
        if base64 {
            self.letters.insert(b'b');
        }
        self.keys = Keys::one(key, base64);
        let undecodable = base64 && !dialect.is_shared() && !decodes(key);
        self.refused = key.len() > KEY_SIZE_MAX || undecodable;
    }

    /// Reads every flag; false if memcached refuses the line. memcached stops at an unknown flag, but a later release may
    /// know that flag and read on, so the flags behind it are read as well.
    fn read_flags(&mut self, key: &[u8], dialect: Dialect) -> bool {
        let mut valid = true;
        for flag in self.flags.clone() {
            valid &= self.letters.insert(flag.letter) && known(flag.letter, dialect);
            valid &= self.read_flag(flag, key, dialect);
        }
        valid
    }

    fn read_flag(
        &mut self,
        MetaFlag { letter, token }: MetaFlag<'a>,
        key: &[u8],
        dialect: Dialect,
    ) -> bool {
        match letter {
            b'b' => decodes(key),
            b'N' => take(&mut self.vivify_ttl, number::signed(token)),
            b'T' => take(&mut self.ttl, number::signed(token)),
            b'R' => take(&mut self.recache_ttl, number::signed(token)),
            b'F' => take(&mut self.client_flags, number::flags(token)),
            b'C' => take(&mut self.cas, number::unsigned(token)),
            b'E' => number::unsigned(token).is_some(),
            b'J' => take(&mut self.initial, number::unsigned(token)),
            b'D' => take(&mut self.delta, number::unsigned(token)),
            b'O' => {
                self.opaque = Some(token);
                token.len() <= OPAQUE_SIZE_MAX
            }
            b'M' => {
                self.mode = Some(token.first().copied().unwrap_or(0));
                token.len() == 1 || dialect.is_shared()
            }
            _ => true,
        }
    }

    fn mode_exists(&self) -> bool {
        let modes: &[u8] = match self.command {
            Command::MetaSet => b"EAPRS",
            Command::MetaArithmetic => b"I+D-",
            _ => return true,
        };
        self.mode.is_none_or(|mode| modes.contains(&mode))
    }
}

/// Returns true if the shared parser takes a word that begins with `letter` for a flag, even an unknown one. If any word
/// begins otherwise, the parser refuses the line before it reads a size, so the data block is parsed as commands.
const fn may_be_flag(letter: u8) -> bool {
    matches!(letter, b'0'..=b'9' | b'A'..=b'z')
}

/// Returns the token of flag `S`, if it stands before the first flag that is unknown or stands twice: 1.6.9 reads no
/// further, and then takes the data block for commands.
fn early_size(flags: MetaFlags<'_>) -> Option<&[u8]> {
    let mut seen = Letters::NONE;
    flags
        .take_while(|flag| seen.insert(flag.letter) && EARLY.has(flag.letter))
        .find(|flag| flag.letter == b'S')
        .map(|flag| flag.token)
}

/// Stores the number of a flag; false if it could not be parsed.
fn take<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    *field = value;
    field.is_some()
}

/// Returns true if the parser knows a flag; one list serves all commands.
const fn known(letter: u8, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Early => EARLY.has(letter),
        Dialect::Classic => CLASSIC.has(letter),
        Dialect::Shared => SHARED.has(letter),
    }
}

fn decodes(key: &[u8]) -> bool {
    base64::decode(key, &mut [0; KEY_SIZE_MAX]).is_some()
}
