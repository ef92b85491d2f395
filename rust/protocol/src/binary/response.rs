//! The response at the start of some bytes → [`Answer`].

use super::header::{HEADER_SIZE, Header, RESPONSE_MAGIC};
use super::opcode::Opcode;
use crate::{Command, ParseError, Status};

/// A response: its header, and its key once that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Of the request.
    pub opcode: Opcode,
    /// How it went.
    pub code: Code,
    /// Four bytes of the request, repeated.
    pub opaque: u32,
    /// The item's cas value; 0 if there is none to tell.
    pub cas: u64,
    /// The key, if it was parsed: of a hit whose opcode repeats it, of such a miss, the name of a statistic.
    pub key: Option<&'a [u8]>,
    /// Bytes of the extras.
    pub extras_size: u8,
    /// Bytes of the key.
    pub key_size: u16,
    /// Bytes of extras, key and value.
    pub body_size: u32,
}

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// 0x00: done.
    Success,
    /// 0x01: no such item, or no such statistic.
    NotFound,
    /// 0x02: there is one, or another cas value.
    Exists,
    /// 0x03: larger than an item may be.
    TooLarge,
    /// 0x04: lengths that the opcode does not allow; the connection is closed.
    Invalid,
    /// 0x05: the condition of a storage command was not met.
    NotStored,
    /// 0x06: the item is no counter.
    NotNumeric,
    /// 0x20: authentication failed or is required.
    Unauthenticated,
    /// 0x21: authentication goes on.
    Continue,
    /// 0x81: an opcode memcached does not know, or a key longer than its body.
    Unknown,
    /// 0x82: no memory.
    NoMemory,
    /// Any other.
    Other(u16),
}

impl Code {
    const fn of(status: u16) -> Self {
        match status {
            0x00 => Self::Success,
            0x01 => Self::NotFound,
            0x02 => Self::Exists,
            0x03 => Self::TooLarge,
            0x04 => Self::Invalid,
            0x05 => Self::NotStored,
            0x06 => Self::NotNumeric,
            0x20 => Self::Unauthenticated,
            0x21 => Self::Continue,
            0x81 => Self::Unknown,
            0x82 => Self::NoMemory,
            other => Self::Other(other),
        }
    }
}

/// Parses header, extras and key of the response at the start of `bytes`; `consumed` covers these alone, and
/// [`Answer::value_size`] more bytes belong to it.
pub fn parse(bytes: &[u8]) -> Result<Status<Answer<'_>>, ParseError> {
    let Some(header) = read(bytes)? else {
        return Ok(Status::Partial);
    };
    let Some((_, key)) = header.split(bytes) else {
        return Ok(Status::Partial);
    };
    Ok(Status::Complete {
        value: Answer {
            key: Some(key),
            ..Answer::of(&header)
        },
        consumed: header.start_size(),
    })
}

/// Parses the header of the response at the start of `bytes`, without its key; [`Answer::body_size`] more bytes belong
/// to it.
pub fn parse_header(bytes: &[u8]) -> Result<Status<Answer<'static>>, ParseError> {
    Ok(match read(bytes)? {
        Some(header) => Status::Complete {
            value: Answer::of(&header),
            consumed: HEADER_SIZE,
        },
        None => Status::Partial,
    })
}

fn read(bytes: &[u8]) -> Result<Option<Header>, ParseError> {
    match Header::read(bytes, RESPONSE_MAGIC)? {
        Some(header) if header.value_size().is_none() => Err(ParseError::BodySize),
        found => Ok(found),
    }
}

impl Answer<'_> {
    fn of(header: &Header) -> Self {
        Self {
            opcode: header.opcode,
            code: Code::of(header.status),
            opaque: header.opaque,
            cas: header.cas,
            key: None,
            extras_size: header.extras,
            key_size: header.key,
            body_size: header.body,
        }
    }

    /// Bytes behind the key: a value, a text, a counter.
    pub fn value_size(&self) -> u32 {
        let start = u32::from(self.extras_size) + u32::from(self.key_size);
        self.body_size.saturating_sub(start)
    }

    /// Bytes that follow what was parsed: all of the body but extras and key, if the key was parsed.
    pub fn rest_size(&self) -> u64 {
        let size = match self.key {
            Some(_) => self.value_size(),
            None => self.body_size,
        };
        size.into()
    }

    /// Whether it brings an item that was found.
    pub fn is_hit(&self) -> bool {
        let retrieval = matches!(self.opcode.command(), Command::Get | Command::Gat);
        retrieval && self.code == Code::Success
    }

    /// Whether more responses to the same request follow: all of a `stat` but the last, which names nothing.
    pub fn continues(&self) -> bool {
        self.opcode.command() == Command::Stats && self.code == Code::Success && self.body_size > 0
    }
}
