//! Binary response at the start of some bytes → [`Answer`].

use super::header::{HEADER_SIZE, Header, RESPONSE_MAGIC};
use super::opcode::Opcode;
use crate::{Command, ParseError, Status};

/// A response of the binary protocol: its header, and its key if that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The opcode of the request.
    pub opcode: Opcode,
    /// The status of the operation.
    pub code: Code,
    /// The opaque value of the request, repeated.
    pub opaque: u32,
    /// The item's cas value; 0 if there is none.
    pub cas: u64,
    /// The key; `None` if only the header was parsed. memcached sends one with a hit or miss of a key-returning
    /// opcode, and the name of a statistic in its place; otherwise it is empty.
    pub key: Option<&'a [u8]>,
    /// Size of the extras, bytes.
    pub extras_size: u8,
    /// Size of the key, bytes.
    pub key_size: u16,
    /// Total size of extras, key and value, bytes.
    pub body_size: u32,
}

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// 0x00: done.
    Success,
    /// 0x01: no such item, or no such statistic.
    NotFound,
    /// 0x02: the item already exists, or its cas value differs.
    Exists,
    /// 0x03: the item is larger than memcached allows.
    TooLarge,
    /// 0x04: the opcode does not allow these lengths; memcached closes the connection.
    Invalid,
    /// 0x05: the condition of a storage command failed.
    NotStored,
    /// 0x06: the item is not a counter.
    NotNumeric,
    /// 0x20: authentication failed or is required.
    Unauthenticated,
    /// 0x21: authentication continues with another step.
    Continue,
    /// 0x81: the opcode is unknown, or the key is longer than the body.
    Unknown,
    /// 0x82: out of memory.
    NoMemory,
    /// Any other status.
    Other(u16),
}

impl Code {
    const fn from_status(status: u16) -> Self {
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

/// Parses header, extras and key of the response at the start of `bytes`. `consumed` covers only these;
/// [`Answer::value_size`] more bytes belong to the response.
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
            ..Answer::from_header(&header)
        },
        consumed: header.start_size(),
    })
}

/// Parses only the header of the response at the start of `bytes`; [`Answer::body_size`] more bytes belong to the
/// response.
pub fn parse_header(bytes: &[u8]) -> Result<Status<Answer<'static>>, ParseError> {
    Ok(match read(bytes)? {
        Some(header) => Status::Complete {
            value: Answer::from_header(&header),
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
    fn from_header(header: &Header) -> Self {
        Self {
            opcode: header.opcode,
            code: Code::from_status(header.status),
            opaque: header.opaque,
            cas: header.cas,
            key: None,
            extras_size: header.extras,
            key_size: header.key,
            body_size: header.body,
        }
    }

    /// Size of what follows the key (a value, a text or a counter), bytes.
    pub fn value_size(&self) -> u32 {
        let start = u32::from(self.extras_size) + u32::from(self.key_size);
        self.body_size.saturating_sub(start)
    }

    /// Bytes of the response after the parsed part: the value if the key was parsed, otherwise the whole body.
    pub fn rest_size(&self) -> u64 {
        let size = match self.key {
            Some(_) => self.value_size(),
            None => self.body_size,
        };
        size.into()
    }

    /// True if the response carries an item that a retrieval found.
    pub fn is_hit(&self) -> bool {
        let retrieval = matches!(self.opcode.command(), Command::Get | Command::Gat);
        retrieval && self.code == Code::Success
    }

    /// True if more responses to the same request follow. Each statistic is a response of its own; an empty one ends
    /// the list.
    pub fn continues(&self) -> bool {
        self.opcode.command() == Command::Stats && self.code == Code::Success && self.body_size > 0
    }
}
