//! The first 24 bytes of a message → its numbers.

use super::Opcode;
use crate::ParseError;

/// First byte of each request.
pub const REQUEST_MAGIC: u8 = 0x80;
/// First byte of each response.
pub const RESPONSE_MAGIC: u8 = 0x81;
/// Bytes of the header.
pub const HEADER_SIZE: usize = 24;

/// What requests and responses have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// Bytes of the key.
    pub(super) key: u16,
    /// Bytes of the extras.
    pub(super) extras: u8,
    pub(super) data_type: u8,
    /// Of responses the status; of requests reserved.
    pub(super) status: u16,
    /// Bytes of extras, key and value.
    pub(super) body: u32,
    pub(super) opaque: u32,
    pub(super) cas: u64,
}

impl Header {
    /// The header at the start of `bytes`; none while it is incomplete.
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

    /// Bytes of the header, the extras and the key.
    pub(super) fn start_size(&self) -> usize {
        HEADER_SIZE + usize::from(self.extras) + usize::from(self.key)
    }

    /// Bytes of the value; none if extras and key are longer than the body.
    pub(super) fn value_size(&self) -> Option<u32> {
        self.body
            .checked_sub(u32::from(self.extras) + u32::from(self.key))
    }

    /// Extras and key, of `bytes` that hold both.
    pub(super) fn split<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        bytes
            .get(HEADER_SIZE..self.start_size())?
            .split_at_checked(self.extras.into())
    }
}
