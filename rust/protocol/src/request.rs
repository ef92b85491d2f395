//! Request line at the start of some bytes → [`Request`].

use core::fmt;

use memchr::memchr;

use crate::binary::{Opcode, REQUEST_MAGIC};
use crate::flags::Letters;
use crate::token::{Tokens, Words};
use crate::{
    Command, Dialect, Form, KEY_SIZE_MAX, Keys, MetaFlags, ParseError, Response, Status,
    is_ordinary, line,
};

mod meta;
mod options;
mod other;
mod text;

/// Most words, verb included, that memcached's classic parser looks at in a line without a list of keys.
const WORDS_MAX: usize = 23;

/// A request: its arguments, and the way memcached reads and answers it.
///
/// [`parse`] reads one from a line, [`binary::parse_request`](crate::binary::parse_request) from a binary message.
///
/// ```
/// use membench_protocol::{Command, Status, request};
///
/// let stream = b"set colour 0 60 4 noreply\r\nblue\r\nget colour\r\n";
/// let Status::Complete { value: set, consumed } = request::parse(stream)? else {
///     panic!("the line is complete");
/// };
/// assert_eq!((set.command, set.ttl, set.noreply), (Command::Set, Some(60), true));
/// assert_eq!(set.keys.map(|key| key.raw()).collect::<Vec<_>>(), [b"colour"]);
///
/// // `consumed` ends the line; its data block of 4 + 2 bytes comes next, then the next request.
/// assert_eq!(set.value_size, Some(4));
/// let Status::Complete { value: get, .. } = request::parse(&stream[consumed + 6..])? else {
///     panic!("the line is complete");
/// };
/// assert_eq!(get.command, Command::Get);
/// # Ok::<(), membench_protocol::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one request, each read by name"
)]
pub struct Request<'a> {
    /// The command that the verb or opcode names.
    pub command: Command,
    /// The first word of the line as sent; empty in a binary request.
    pub verb: &'a [u8],
    /// True for the meta protocol.
    pub meta: bool,
    /// The keys; for a refused line, as far as they could be recognised.
    pub keys: Keys<'a>,
    /// True if memcached answers nothing, not even an error.
    pub noreply: bool,
    /// Size of the value that follows, bytes; after a line, memcached reads two more for its line end. It reads the
    /// value even if it refuses the line.
    pub value_size: Option<u32>,
    /// Client flags to store.
    pub client_flags: Option<u32>,
    /// Expiry as sent, s; for `flush_all`, the delay.
    pub ttl: Option<i32>,
    /// The cas value to compare with.
    pub cas: Option<u64>,
    /// The amount of an arithmetic command.
    pub delta: Option<u64>,
    /// Initial value of a counter that does not exist yet (meta `J`, binary arithmetic).
    pub initial: Option<u64>,
    /// Expiry of an item created on a miss (meta `N`, binary arithmetic), s.
    pub vivify_ttl: Option<i32>,
    /// Remaining expiry below which the client recaches the item (meta `R`), s.
    pub recache_ttl: Option<i32>,
    /// The opaque token without its letter (meta `O`), or the four opaque bytes of a binary request. The response
    /// repeats it.
    pub opaque: Option<&'a [u8]>,
    /// The opcode of a binary request; `None` for a line.
    pub opcode: Option<Opcode>,
    /// The flags of a meta command.
    pub flags: MetaFlags<'a>,
    /// True if memcached answers with an error, whatever it has stored. Its statistics may still count the keys of a
    /// refused `get` that precede the bad one.
    pub refused: bool,
    /// True if memcached closes the connection: for `quit`, a line that ends like an HTTP request, or binary lengths
    /// that the opcode does not allow.
    pub closes: bool,
    /// True if memcached sets its own counters to 0 (`stats reset`).
    pub resets: bool,
    /// Letters of the flags read so far; for a binary request, those of its variant.
    pub(crate) letters: Letters,
    /// The first byte of the mode (meta `M`); 0 if the mode is empty.
    mode: Option<u8>,
    /// The form of the answer in lines.
    pub(crate) form: Form,
    /// True if memcached reads the line as [`Dialect::Early`].
    pub(crate) early: bool,
    /// Bytes that memcached reads after a binary request's key.
    pub(crate) block: u32,
}

/// Parses the request line at the start of `bytes` as memcached 1.6.18 does ([`Dialect::Classic`]).
///
/// `consumed` covers only the line, not its data block. No text line is an error: a line that memcached refuses is a
/// request with `refused` set. [`ParseError::Binary`] is meaningful only at the start of a connection; later, that byte
/// is part of a bad verb.
pub fn parse(bytes: &[u8]) -> Result<Status<Request<'_>>, ParseError> {
    parse_as(bytes, Dialect::Classic)
}

/// Parses the request line at the start of `bytes` as a memcached of this `dialect` does; see [`parse`].
pub fn parse_as(bytes: &[u8], dialect: Dialect) -> Result<Status<Request<'_>>, ParseError> {
    if bytes.first() == Some(&REQUEST_MAGIC) {
        return Err(ParseError::Binary);
    }
    let Some((line, consumed)) = line::split(bytes) else {
        return Ok(Status::Partial);
    };
    Ok(Status::Complete {
        value: Request::from_line(line, dialect),
        consumed,
    })
}

/// True if a release of memcached reads `line` unlike the classic parser, which reads it as `classic`: the bytes that
/// follow it, whether it is answered, or whether it is refused. Decided only for lines that well-behaved clients do
/// not send: refused ones, administration, and a deletion of key `noreply`.
#[inline]
pub fn is_disputed(line: &[u8], classic: &Request<'_>) -> bool {
    let suspicious = classic.refused
        || classic.command == Command::Other
        || classic.command == Command::Delete && classic.has_key(b"noreply");
    suspicious && is_read_unlike(line, classic)
}

/// Returns true if another release of memcached reads `line` unlike the classic parser.
fn is_read_unlike(line: &[u8], classic: &Request<'_>) -> bool {
    let facts = |request: &Request<'_>| {
        let refused = request.refused && !request.meta;
        (request.block_size(), request.is_answered(), refused)
    };
    [Dialect::Early, Dialect::Shared]
        .into_iter()
        .any(|dialect| match parse_as(line, dialect) {
            Ok(Status::Complete { value, .. }) => facts(&value) != facts(classic),
            Ok(Status::Partial) | Err(_) => false,
        })
}

impl<'a> Request<'a> {
    fn from_line(line: &'a [u8], dialect: Dialect) -> Self {
        let mut tokens = Tokens::new(visible(line, dialect));
        let verb = match dialect {
            Dialect::Shared if line.first() == Some(&b' ') => b"",
            _ => tokens.next().unwrap_or_default(),
        };
        let mut request = Self::new(verb);
        request.early = dialect == Dialect::Early;
        if request.meta {
            request.meta(tokens, dialect);
        } else {
            request.text(tokens, dialect);
        }
        request
    }

    fn new(verb: &'a [u8]) -> Self {
        let mut request = Self::empty(Command::from_verb(verb));
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
            resets: false,
            letters: Letters::NONE,
            mode: None,
            form: Form::Single,
            early: false,
            block: 0,
        }
    }

    /// True if memcached does not answer the ordinary outcome (meta `q`, quiet opcodes; see [`Request::suppresses`]).
    /// Errors are always answered.
    pub const fn quiet(&self) -> bool {
        self.letters.has(b'q')
    }

    /// True if the response repeats the key (meta `k`, key-returning opcodes).
    pub const fn returns_key(&self) -> bool {
        self.letters.has(b'k')
    }

    /// True if memcached may answer at all. A line that closes the connection is not answered; a binary request is.
    pub const fn is_answered(&self) -> bool {
        !self.noreply && (!self.closes || self.opcode.is_some())
    }

    /// Letters of the meta flags that memcached read before it stopped. A binary request has those of its variant: `q` if
    /// quiet, `k` if the response repeats the key, `C` if it compares a cas value.
    pub const fn letters(&self) -> Letters {
        self.letters
    }

    /// Bytes that memcached reads after the line, or after the key of a binary request, before the next request.
    pub fn block_size(&self) -> u64 {
        match self.opcode {
            Some(_) => self.block.into(),
            None => self.value_size.map_or(0, |size| u64::from(size) + 2),
        }
    }

    /// True if the response carries the value (meta `v`).
    pub const fn returns_value(&self) -> bool {
        self.letters.has(b'v')
    }

    /// True if the key is base64 (meta `b`).
    pub const fn base64(&self) -> bool {
        self.letters.has(b'b')
    }

    /// The letter of the mode (meta `M`).
    pub const fn mode(&self) -> Option<u8> {
        self.mode
    }

    /// Returns true if memcached withholds `response` because the request is quiet: see [`is_ordinary`].
    pub fn suppresses(&self, response: &Response<'_>) -> bool {
        self.quiet() && is_ordinary(self.command, response)
    }

    /// True if memcached drops the answers to earlier requests of the connection that it has not sent yet. It does so
    /// when a retrieval has a key that is too long. It has already sent the answers before the last `get`, `gat` or
    /// `mn`, as well as those to requests of an earlier read.
    pub fn drops_answers(&self) -> bool {
        let keyed = match self.command {
            Command::Get | Command::Gets => true,
            Command::Gat | Command::Gats => self.ttl.is_some(),
            _ => false,
        };
        self.refused && keyed && self.has_long_key()
    }

    fn has_key(&self, name: &[u8]) -> bool {
        self.keys.clone().any(|key| key.raw() == name)
    }

    fn has_long_key(&self) -> bool {
        self.keys.clone().any(|key| key.raw().len() > KEY_SIZE_MAX)
    }

    /// Writes the canonical options: `noreply`, or the letters of the flags in order, a mode with its letter
    /// (`s v q MA`). A binary request has `q` if it is quiet, `k` if the response repeats the key, `C` if it compares a
    /// cas value. No word of the user's is ever written.
    pub fn options(&self, out: &mut impl fmt::Write) -> fmt::Result {
        options::write(self, out)
    }

    fn refuse(&mut self) {
        self.refused = true;
        self.value_size = None;
    }

    /// Refuses a storage line whose size is known: the shared parser skips its data block, the classic one does not.
    fn refuse_storage(&mut self, dialect: Dialect) {
        self.refused = true;
        if !dialect.is_shared() {
            self.value_size = None;
        }
    }

    fn words(tokens: Tokens<'a>, dialect: Dialect) -> Words<'a> {
        match dialect {
            Dialect::Shared => Words::new(tokens, usize::MAX),
            _ => Words::new(tokens, WORDS_MAX - 1),
        }
    }
}

/// Returns the part of a line that memcached sees: the classic parser works on a C string, which ends at a NUL.
fn visible(line: &[u8], dialect: Dialect) -> &[u8] {
    match dialect {
        Dialect::Shared => line,
        _ => memchr(0, line).map_or(line, |end| &line[..end]),
    }
}

#[cfg(test)]
mod tests;
