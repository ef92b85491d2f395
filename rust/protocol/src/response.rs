//! Response line at the start of some bytes → [`Response`].

use crate::binary::{Answer, RESPONSE_MAGIC};
use crate::flags::Letters;
use crate::number::plain;
use crate::token::Tokens;
use crate::{Key, LINE_SIZE_MAX, MetaFlags, ParseError, Status, line};

/// A response of memcached, without its value.
///
/// After a `Value`, and after a `Meta` with a size, comes a data block: the value and a line end of two bytes. After a
/// `Binary` comes the rest of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// `VALUE`: an item that a retrieval found.
    Value {
        /// The item's key, as requested.
        key: Key<'a>,
        /// The item's client flags.
        flags: u32,
        /// Size of the value, bytes.
        size: u32,
        /// The item's cas value, in answer to `gets` and `gats`.
        cas: Option<u64>,
    },
    /// `END`: the end of the items or statistics.
    End,
    /// `STORED`
    Stored,
    /// `NOT_STORED`
    NotStored,
    /// `EXISTS`
    Exists,
    /// `NOT_FOUND`
    NotFound,
    /// `DELETED`
    Deleted,
    /// `TOUCHED`
    Touched,
    /// `OK`
    Ok,
    /// The value of a counter after `incr` or `decr`.
    Number(u64),
    /// `VERSION` and its text.
    Version(&'a [u8]),
    /// `ERROR`, with or without an explanation.
    Error,
    /// `CLIENT_ERROR` and its text.
    ClientError(&'a [u8]),
    /// `SERVER_ERROR` and its text.
    ServerError(&'a [u8]),
    /// `STAT`: name and value.
    Stat(&'a [u8]),
    /// `RESET`: the answer to `stats reset`.
    Reset,
    /// `BUSY` and its text.
    Busy(&'a [u8]),
    /// The answer to a meta command.
    Meta {
        /// The result, by its two letters.
        kind: Kind,
        /// Size of the value that follows (`VA` only), bytes.
        size: Option<u32>,
        /// The returned flags.
        flags: MetaFlags<'a>,
        /// Letters of the returned flags.
        letters: Letters,
    },
    /// `ME`: a key, and facts about its item.
    MetaDebug(&'a [u8]),
    /// Any other line.
    Line(&'a [u8]),
    /// A response of the binary protocol.
    Binary(Answer<'a>),
}

/// The result of a meta command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `HD`: done, or found without a value being requested.
    Hd,
    /// `VA`: found; the value follows.
    Va,
    /// `EN`: not found by `mg` or `me`.
    En,
    /// `NF`: not found by any other command.
    Nf,
    /// `NS`: not stored.
    Ns,
    /// `EX`: the cas value differs.
    Ex,
    /// `MN`: the answer to `mn`.
    Mn,
}

/// Parses the response line at the start of `bytes`; `consumed` covers only the line, not its data block.
///
/// ```
/// use membench_protocol::{Response, Status, response};
///
/// let Status::Complete { value, consumed } = response::parse(b"VALUE colour 0 4\r\nblue\r\nEND\r\n")? else {
///     panic!("the line is complete");
/// };
/// assert_eq!((value.value_size(), consumed), (Some(4), 18));
/// assert!(matches!(value, Response::Value { key, .. } if key.raw() == b"colour"));
///
/// // Without its line end, a response is partial and not an error.
/// assert_eq!(response::parse(b"STORED\r")?, Status::Partial);
/// # Ok::<(), membench_protocol::ParseError>(())
/// ```
pub fn parse(bytes: &[u8]) -> Result<Status<Response<'_>>, ParseError> {
    if bytes.first() == Some(&RESPONSE_MAGIC) {
        return Err(ParseError::Binary);
    }
    let start = &bytes[..bytes.len().min(LINE_SIZE_MAX)];
    match line::split(start) {
        Some((line, consumed)) => Ok(Status::Complete {
            value: Response::from_line(line)?,
            consumed,
        }),
        None if start.len() == LINE_SIZE_MAX => Err(ParseError::LineTooLong),
        None => Ok(Status::Partial),
    }
}

impl<'a> Response<'a> {
    /// Size of the value that follows, without its line end, bytes.
    pub fn value_size(&self) -> Option<u32> {
        match self {
            Self::Value { size, .. } => Some(*size),
            Self::Meta { size, .. } => *size,
            Self::Binary(answer) if answer.is_hit() => Some(answer.value_size()),
            _ => None,
        }
    }

    fn from_line(line: &'a [u8]) -> Result<Self, ParseError> {
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let rest = line.get(word.len() + 1..).unwrap_or_default();
        match word {
            b"VALUE" => Self::value(rest),
            b"VA" => Self::meta_value(rest),
            _ => Ok(Self::from_words(line, word, rest)),
        }
    }

    fn from_words(line: &'a [u8], word: &[u8], rest: &'a [u8]) -> Self {
        let words = Tokens::new(rest);
        match word {
            b"ERROR" | b"ERROR:" => Self::Error,
            b"CLIENT_ERROR" => Self::ClientError(rest),
            b"SERVER_ERROR" | b"SERVER_ERROR:" => Self::ServerError(rest),
            b"STAT" => Self::Stat(rest),
            b"VERSION" => Self::Version(rest),
            b"BUSY" => Self::Busy(rest),
            b"HD" => Self::meta(Kind::Hd, None, words),
            // 1.6.9, which adds a space even if no flag follows.
            b"OK" if line.len() > word.len() => Self::meta(Kind::Hd, None, words),
            b"EN" => Self::meta(Kind::En, None, words),
            b"NF" => Self::meta(Kind::Nf, None, words),
            b"NS" => Self::meta(Kind::Ns, None, words),
            b"EX" => Self::meta(Kind::Ex, None, words),
            b"MN" => Self::meta(Kind::Mn, None, words),
            b"ME" => Self::MetaDebug(rest),
            _ => Self::from_whole_line(line),
        }
    }

    fn from_whole_line(line: &'a [u8]) -> Self {
        match line {
            b"END" => Self::End,
            b"STORED" => Self::Stored,
            b"NOT_STORED" => Self::NotStored,
            b"EXISTS" => Self::Exists,
            b"NOT_FOUND" => Self::NotFound,
            b"DELETED" => Self::Deleted,
            b"TOUCHED" => Self::Touched,
            b"OK" => Self::Ok,
            b"RESET" => Self::Reset,
            _ => plain(line.trim_ascii_end()).map_or(Self::Line(line), Self::Number),
        }
    }

    fn value(rest: &'a [u8]) -> Result<Self, ParseError> {
        let mut words = Tokens::new(rest);
        let key = words.next().ok_or(ParseError::ValueKey)?;
        let flags = words.next().and_then(plain);
        let size = words.next().and_then(block_size);
        let cas = match words.next() {
            Some(word) => Some(plain(word).ok_or(ParseError::ValueCas)?),
            None => None,
        };
        if words.next().is_some() {
            return Err(ParseError::ValueCas);
        }
        Ok(Self::Value {
            key: Key::new(key, false),
            flags: flags
                .and_then(|flags| u32::try_from(flags).ok())
                .ok_or(ParseError::ValueFlags)?,
            size: size.ok_or(ParseError::ValueSize)?,
            cas,
        })
    }

    fn meta_value(rest: &'a [u8]) -> Result<Self, ParseError> {
        let mut words = Tokens::new(rest);
        let size = words.next().and_then(block_size);
        let size = size.ok_or(ParseError::MetaSize)?;
        Ok(Self::meta(Kind::Va, Some(size), words))
    }

    pub(crate) fn meta(kind: Kind, size: Option<u32>, words: Tokens<'a>) -> Self {
        let flags = MetaFlags::new(words);
        Self::Meta {
            kind,
            size,
            letters: flags.letters(),
            flags,
        }
    }
}

fn block_size(word: &[u8]) -> Option<u32> {
    let size = i32::try_from(plain(word)?).ok()?;
    u32::try_from(size).ok()
}

#[cfg(test)]
mod tests;
