//! The line at the start of what memcached sent → [`Response`].

use crate::binary::{Answer, RESPONSE_MAGIC};
use crate::number::plain;
use crate::token::Tokens;
use crate::{Key, LINE_SIZE_MAX, MetaFlags, ParseError, Status, line};

/// A response. A data block of its size and two bytes more follows `Value` and a `Meta` with a size; the rest of its body
/// follows a `Binary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// `VALUE`: an item that a `get` found.
    Value {
        /// Its key, as asked for.
        key: Key<'a>,
        /// Its client flags.
        flags: u32,
        /// Bytes of its value.
        size: u32,
        /// Its cas value, in answer to `gets` and `gats`.
        cas: Option<u64>,
    },
    /// `END` of the items or statistics.
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
    /// `VERSION` and what follows.
    Version(&'a [u8]),
    /// `ERROR`, with or without an explanation.
    Error,
    /// `CLIENT_ERROR` and its text.
    ClientError(&'a [u8]),
    /// `SERVER_ERROR` and its text.
    ServerError(&'a [u8]),
    /// `STAT`: name and value.
    Stat(&'a [u8]),
    /// `RESET`, to `stats reset`.
    Reset,
    /// `BUSY` and its text.
    Busy(&'a [u8]),
    /// The answer to a meta command.
    Meta {
        /// Its two letters.
        kind: Kind,
        /// Bytes of the value that follows (`VA` only).
        size: Option<u32>,
        /// The flags returned.
        flags: MetaFlags<'a>,
    },
    /// `ME`: key and facts about an item.
    MetaDebug(&'a [u8]),
    /// Any other line.
    Line(&'a [u8]),
    /// A response of the binary protocol.
    Binary(Answer<'a>),
}

/// What a meta command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Done, or found and no value asked for.
    Hd,
    /// Found; the value follows.
    Va,
    /// Not found by `mg` or `me`.
    En,
    /// Not found by another command.
    Nf,
    /// Not stored.
    Ns,
    /// The cas value differs.
    Ex,
    /// Answer to `mn`.
    Mn,
}

/// Parses the response line at the start of `bytes`; `consumed` covers the line alone.
pub fn parse(bytes: &[u8]) -> Result<Status<Response<'_>>, ParseError> {
    if bytes.first() == Some(&RESPONSE_MAGIC) {
        return Err(ParseError::Binary);
    }
    let start = &bytes[..bytes.len().min(LINE_SIZE_MAX)];
    match line::split(start) {
        Some((line, consumed)) => Ok(Status::Complete {
            value: Response::of_line(line)?,
            consumed,
        }),
        None if start.len() == LINE_SIZE_MAX => Err(ParseError::LineTooLong),
        None => Ok(Status::Partial),
    }
}

impl<'a> Response<'a> {
    /// Bytes of the value that follows, without its line end.
    pub fn value_size(&self) -> Option<u32> {
        match self {
            Self::Value { size, .. } => Some(*size),
            Self::Meta { size, .. } => *size,
            Self::Binary(answer) if answer.is_hit() => Some(answer.value_size()),
            _ => None,
        }
    }

    fn of_line(line: &'a [u8]) -> Result<Self, ParseError> {
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let rest = line.get(word.len() + 1..).unwrap_or_default();
        match word {
            b"VALUE" => Self::value(rest),
            b"VA" => Self::meta_value(rest),
            _ => Ok(Self::of_words(line, word, rest)),
        }
    }

    fn of_words(line: &'a [u8], word: &[u8], rest: &'a [u8]) -> Self {
        match word {
            b"ERROR" | b"ERROR:" => Self::Error,
            b"CLIENT_ERROR" => Self::ClientError(rest),
            b"SERVER_ERROR" => Self::ServerError(rest),
            b"STAT" => Self::Stat(rest),
            b"VERSION" => Self::Version(rest),
            b"BUSY" => Self::Busy(rest),
            b"HD" => Self::meta(Kind::Hd, rest),
            b"EN" => Self::meta(Kind::En, rest),
            b"NF" => Self::meta(Kind::Nf, rest),
            b"NS" => Self::meta(Kind::Ns, rest),
            b"EX" => Self::meta(Kind::Ex, rest),
            b"MN" => Self::meta(Kind::Mn, rest),
            b"ME" => Self::MetaDebug(rest),
            _ => Self::of_whole(line),
        }
    }

    fn of_whole(line: &'a [u8]) -> Self {
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
        Ok(Self::Meta {
            kind: Kind::Va,
            size: Some(size.ok_or(ParseError::MetaSize)?),
            flags: MetaFlags::new(words),
        })
    }

    pub(crate) const fn meta(kind: Kind, rest: &'a [u8]) -> Self {
        Self::Meta {
            kind,
            size: None,
            flags: MetaFlags::new(Tokens::new(rest)),
        }
    }
}

fn block_size(word: &[u8]) -> Option<u32> {
    let size = i32::try_from(plain(word)?).ok()?;
    u32::try_from(size).ok()
}

#[cfg(test)]
mod tests;
