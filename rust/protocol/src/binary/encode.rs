//! Operations → binary requests, written into the caller's buffer.

use super::header::{HEADER_SIZE, REQUEST_MAGIC};
use super::opcode::Opcode;
use crate::encode::{Encoder, Full};

/// The header fields common to all binary requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The operation.
    pub opcode: Opcode,
    /// A value that the response repeats.
    pub opaque: u32,
    /// The cas value to compare with; 0 disables the comparison.
    pub cas: u64,
}

/// The extras of a `set`, `add` or `replace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Client flags.
    pub client_flags: u32,
    /// Expiry, s.
    pub ttl: u32,
}

/// The extras of an `incr` or `decr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arithmetic {
    /// The amount to add or subtract.
    pub delta: u64,
    /// Initial value and expiry (s) of a counter that does not exist yet; `None` creates none.
    pub initial: Option<(u64, u32)>,
}

impl Encoder<'_> {
    /// Writes a request that has only a key: `get`, `delete`, `stat`; with an empty key, `noop`, `version`, `quit`.
    pub fn binary(&mut self, tag: Tag, key: &[u8]) -> Result<(), Full> {
        self.message(tag, &[], key, 0)
    }

    /// Writes a request with one time in seconds: `touch`, `gat` or a delayed `flush`.
    pub fn binary_ttl(&mut self, tag: Tag, key: &[u8], ttl: u32) -> Result<(), Full> {
        self.message(tag, &ttl.to_be_bytes(), key, 0)
    }

    /// Writes a `set`, `add` or `replace` up to its value, whose `size` bytes the caller sends next.
    pub fn binary_storage(
        &mut self,
        tag: Tag,
        key: &[u8],
        item: Item,
        size: u32,
    ) -> Result<(), Full> {
        let mut extras = [0; 8];
        extras[..4].copy_from_slice(&item.client_flags.to_be_bytes());
        extras[4..].copy_from_slice(&item.ttl.to_be_bytes());
        self.message(tag, &extras, key, size)
    }

    /// Writes an `append` or `prepend` up to its value, whose `size` bytes the caller sends next.
    pub fn binary_addition(&mut self, tag: Tag, key: &[u8], size: u32) -> Result<(), Full> {
        self.message(tag, &[], key, size)
    }

    /// Writes an `incr` or `decr`.
    pub fn binary_arithmetic(
        &mut self,
        tag: Tag,
        key: &[u8],
        arithmetic: Arithmetic,
    ) -> Result<(), Full> {
        let (initial, ttl) = arithmetic.initial.unwrap_or((0, u32::MAX));
        let mut extras = [0; 20];
        extras[..8].copy_from_slice(&arithmetic.delta.to_be_bytes());
        extras[8..16].copy_from_slice(&initial.to_be_bytes());
        extras[16..].copy_from_slice(&ttl.to_be_bytes());
        self.message(tag, &extras, key, 0)
    }

    fn message(&mut self, tag: Tag, extras: &[u8], key: &[u8], value: u32) -> Result<(), Full> {
        let key_size = u16::try_from(key.len()).map_err(|_| Full)?;
        let extras_size = u8::try_from(extras.len()).map_err(|_| Full)?;
        let body = u32::from(extras_size) + u32::from(key_size);
        let body = body.checked_add(value).ok_or(Full)?;
        let mut header = [0; HEADER_SIZE];
        header[0] = REQUEST_MAGIC;
        header[1] = tag.opcode.0;
        header[2..4].copy_from_slice(&key_size.to_be_bytes());
        header[4] = extras_size;
        header[8..12].copy_from_slice(&body.to_be_bytes());
        header[12..16].copy_from_slice(&tag.opaque.to_be_bytes());
        header[16..].copy_from_slice(&tag.cas.to_be_bytes());
        self.all_or_nothing(|message| {
            message.bytes(&header)?;
            message.bytes(extras)?;
            message.bytes(key)
        })
    }
}
