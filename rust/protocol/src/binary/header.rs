//! The first 24 bytes of a binary message → the fields of its header.

use super::Opcode;
use crate::ParseError;

/// First byte of every request.
pub const REQUEST_MAGIC: u8 = 0x80;
/// First byte of every response.
pub const RESPONSE_MAGIC: u8 = 0x81;
/// Size of the header, bytes.
pub const HEADER_SIZE: usize = 24;

/// The header fields that requests and responses share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// Size of the key, bytes.
    pub(super) key: u16,
    /// Size of the extras, bytes.
    pub(super) extras: u8,
    pub(super) data_type: u8,
    /// The status of a response; reserved in a request.
    pub(super) status: u16,
    /// Total size of extras, key and value, bytes.
    pub(super) body: u32,
    pub(super) opaque: u32,
    pub(super) cas: u64,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while it is incomplete.
    pub(super) fn read(bytes: &[u8], magic: u8) -> Result<Option<Self>, ParseError> {
        if bytes.first().is_some_and(|first| *first != magic) {
            return Err(ParseError::Magic);
        }
        let Some(header) = bytes.first_chunk::<HEADER_SIZE>() else {
            return Ok(None);
        };
        let [_, opcode, k0, k1, extras, data_type, s0, s1, rest @ ..] = *header;
        let [b0, b1, b2, b3, o0, o1, o2, o3, cas @ ..] = rest;
        Ok(Some(Self {
            opcode: Opcode(opcode),
            key: u16::from_be_bytes([k0, k1]),
            extras,
            data_type,
            status: u16::from_be_bytes([s0, s1]),
            body: u32::from_be_bytes([b0, b1, b2, b3]),
            opaque: u32::from_be_bytes([o0, o1, o2, o3]),
            cas: u64::from_be_bytes(cas),
        }))
    }

    /// Total size of header, extras and key, bytes: the offset of the value.
    pub(super) fn start_size(&self) -> usize {
        HEADER_SIZE + usize::from(self.extras) + usize::from(self.key)
    }

    /// Size of the value, bytes; `None` if extras and key are longer than the body.
    pub(super) fn value_size(&self) -> Option<u32> {
        self.body
            .checked_sub(u32::from(self.extras) + u32::from(self.key))
    }

    /// Splits extras and key out of `bytes`, which start with the header; `None` unless both are complete.
    pub(super) fn split<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        bytes
            .get(HEADER_SIZE..self.start_size())?
            .split_at_checked(self.extras.into())
    }
}
