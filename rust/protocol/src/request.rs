//! The line at the start of some bytes → [`Request`].

use core::fmt;

use memchr::memchr;

use crate::binary::{Opcode, REQUEST_MAGIC};
use crate::flags::Letters;
use crate::token::{Tokens, Words};
use crate::{
    Command, Dialect, KEY_SIZE_MAX, Keys, MetaFlags, ParseError, Response, Status, is_ordinary,
    line,
};

mod meta;
mod options;
mod other;
mod text;

/// Words memcached's classic parser looks at in a line without keys.
const WORDS_MAX: usize = 23;

/// A request line: what was asked, and what memcached does with the line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one line, each asked by name"
)]
pub struct Request<'a> {
    /// What the verb names.
    pub command: Command,
    /// The first word as sent.
    pub verb: &'a [u8],
    /// Whether the meta protocol was used.
    pub meta: bool,
    /// The keys, also of a refused line as far as they could be told.
    pub keys: Keys<'a>,
    /// memcached answers nothing to this line, not even an error.
    pub noreply: bool,
    /// Bytes of the data block that follows; memcached reads these and two more, even if it refuses the line.
    pub value_size: Option<u32>,
    /// Client flags to store.
    pub client_flags: Option<u32>,
    /// Expiry as sent, s; of `flush_all` the delay.
    pub ttl: Option<i32>,
    /// The cas value to compare with.
    pub cas: Option<u64>,
    /// Arithmetic: the amount.
    pub delta: Option<u64>,
    /// Meta `J`: value of a counter that does not exist.
    pub initial: Option<u64>,
    /// Meta `N`: expiry of an item made on a miss, s.
    pub vivify_ttl: Option<i32>,
    /// Meta `R`: remaining expiry below which to recache, s.
    pub recache_ttl: Option<i32>,
    /// Meta `O`: the token, without its letter. Binary: four bytes that the response repeats.
    pub opaque: Option<&'a [u8]>,
    /// The opcode of a binary request; none of a line.
    pub opcode: Option<Opcode>,
    /// The flags of a meta command.
    pub flags: MetaFlags<'a>,
    /// memcached answers with an error whatever it holds. A refused `get` may have counted the keys before the bad one.
    pub refused: bool,
    /// memcached closes the connection: `quit`, a line that ends as an HTTP request does, binary lengths that do not add up.
    pub closes: bool,
    pub(crate) letters: Letters,
    mode: Option<u8>,
    /// Bytes that follow a binary request's key.
    pub(crate) block: u32,
}

/// Parses the request line at the start of `bytes` as memcached 1.6.18 does ([`Dialect::Classic`]).
///
/// `consumed` covers the line alone. No text line is an error: what memcached refuses is a request with `refused` set.
/// [`ParseError::Binary`] means something at the start of a connection only; later that byte is part of a bad verb.
pub fn parse(bytes: &[u8]) -> Result<Status<Request<'_>>, ParseError> {
    parse_as(bytes, Dialect::Classic)
}

/// Parses the request line at the start of `bytes` as a memcached that speaks `dialect` does.
pub fn parse_as(bytes: &[u8], dialect: Dialect) -> Result<Status<Request<'_>>, ParseError> {
    if bytes.first() == Some(&REQUEST_MAGIC) {
        return Err(ParseError::Binary);
    }
    let Some((line, consumed)) = line::split(bytes) else {
        return Ok(Status::Partial);
    };
    Ok(Status::Complete {
        value: Request::of_line(line, dialect),
        consumed,
    })
}

impl<'a> Request<'a> {
    fn of_line(line: &'a [u8], dialect: Dialect) -> Self {
        let mut tokens = Tokens::new(visible(line, dialect));
        let verb = match dialect {
            Dialect::Shared if line.first() == Some(&b' ') => b"",
            Dialect::Classic | Dialect::Shared => tokens.next().unwrap_or_default(),
        };
        let mut request = Self::new(verb);
        if request.meta {
            request.meta(tokens, dialect);
        } else {
            request.text(tokens, dialect);
        }
        request
    }

    fn new(verb: &'a [u8]) -> Self {
        let mut request = Self::empty(Command::of_verb(verb));
        request.verb = verb;
        request.meta = request.command.is_meta();
        request
    }

    pub(crate) const fn empty(command: Command) -> Self {
        Self {
            command,
            verb: b"",
            meta: false,
            keys: Keys::NONE,
            noreply: false,
            value_size: None,
            client_flags: None,
            ttl: None,
            cas: None,
            delta: None,
            initial: None,
            vivify_ttl: None,
            recache_ttl: None,
            opaque: None,
            opcode: None,
            flags: MetaFlags::NONE,
            refused: false,
            closes: false,
            letters: Letters::NONE,
            mode: None,
            block: 0,
        }
    }

    /// Meta `q`, quiet opcodes: the ordinary outcome is not answered (see [`Request::suppresses`]); errors always are.
    pub const fn quiet(&self) -> bool {
        self.letters.has(b'q')
    }

    /// Meta `k`, opcodes with a K: the response repeats the key.
    pub const fn returns_key(&self) -> bool {
        self.letters.has(b'k')
    }

    /// Whether memcached may answer at all. The `quit` of the binary protocol is answered.
    pub const fn is_answered(&self) -> bool {
        !self.noreply && (!self.closes || self.opcode.is_some())
    }

    /// Bytes that memcached reads behind the line, or behind the key of a binary request, before it goes on.
    pub fn block_size(&self) -> u64 {
        match self.opcode {
            Some(_) => self.block.into(),
            None => self.value_size.map_or(0, |size| u64::from(size) + 2),
        }
    }

    /// Meta `v`: the response carries the value.
    pub const fn returns_value(&self) -> bool {
        self.letters.has(b'v')
    }

    /// Meta `b`: the key is base64.
    pub const fn base64(&self) -> bool {
        self.letters.has(b'b')
    }

    /// Meta `M`: the mode's letter.
    pub const fn mode(&self) -> Option<u8> {
        self.mode
    }

    /// Whether a response is left out because the request is quiet: see [`is_ordinary`].
    pub fn suppresses(&self, response: &Response<'_>) -> bool {
        self.quiet() && is_ordinary(self.command, response)
    }

    /// Whether memcached drops the answers it owes to earlier requests of the connection and has not yet sent: it does so
    /// when a retrieval meets a key that is too long. It has sent what is before the last `get`, `gat` or `mn`, and
    /// whatever it answered to an earlier read.
    pub fn drops_answers(&self) -> bool {
        let keyed = match self.command {
            Command::Get | Command::Gets => true,
            Command::Gat | Command::Gats => self.ttl.is_some(),
            _ => false,
        };
        self.refused && keyed && self.has_long_key()
    }

    fn has_long_key(&self) -> bool {
        self.keys.clone().any(|key| key.raw().len() > KEY_SIZE_MAX)
    }

    /// Writes the canonical options: `noreply`, or the flags' letters in order, a mode with its letter (`s v q MA`); of a
    /// binary request `q` if it is quiet, `k` if the key is returned, `C` if a cas value is compared.
    /// No word of the user's gets there.
    pub fn options(&self, out: &mut impl fmt::Write) -> fmt::Result {
        options::write(self, out)
    }

    fn refuse(&mut self) {
        self.refused = true;
        self.value_size = None;
    }

    /// The storage line cannot be accepted, but its size is known: the shared parser skips the data, the classic one
    /// does not.
    fn refuse_storage(&mut self, dialect: Dialect) {
        self.refused = true;
        if dialect == Dialect::Classic {
            self.value_size = None;
        }
    }

    fn words(tokens: Tokens<'a>, dialect: Dialect) -> Words<'a> {
        match dialect {
            Dialect::Classic => Words::new(tokens, WORDS_MAX - 1),
            Dialect::Shared => Words::new(tokens, usize::MAX),
        }
    }
}

/// The part of a line that memcached sees: a C string, in the classic parser.
fn visible(line: &[u8], dialect: Dialect) -> &[u8] {
    match dialect {
        Dialect::Classic => memchr(0, line).map_or(line, |end| &line[..end]),
        Dialect::Shared => line,
    }
}

#[cfg(test)]
mod tests;
