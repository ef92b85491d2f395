//! Bytes of the ring → a call, and what its arguments point to.

use membench_common::trace::{Call, Part, Socket, kind, read};
use zerocopy::FromBytes;

/// A record of the kernel's programs.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) call: Call,
    parts: Vec<Piece<'a>>,
}

/// The part of one buffer that a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) what: u32,
    pub(crate) argument: u32,
    /// True length, bytes.
    pub(crate) length: u32,
    /// The bytes that were kept.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record; `None` if it is not one.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (call, mut rest) = Call::read_from_prefix(bytes).ok()?;
        if !(kind::RETURN..=kind::SIGNAL).contains(&call.kind) {
            return None;
        }
        let mut parts = Vec::with_capacity(4);
        for _ in 0..call.parts {
            let (part, after) = Part::read_from_prefix(rest).ok()?;
            let kept = usize::try_from(part.kept).ok()?;
            parts.push(Piece {
                what: part.what.into(),
                argument: part.argument.into(),
                length: part.length,
                bytes: after.get(..kept)?,
            });
            rest = after.get(kept.next_multiple_of(8)..)?;
        }
        Some(Self { call, parts })
    }

    /// Makes the record of a call that the tracer knows itself, without anything that arguments point to.
    pub(crate) fn bare(call: Call) -> Self {
        Self {
            call,
            parts: Vec::new(),
        }
    }

    /// Takes the parts of another record of the same call.
    pub(crate) fn adopt(&mut self, parts: Vec<Piece<'a>>) {
        self.parts.extend(parts);
    }

    /// Returns all parts.
    pub(crate) fn parts(&self) -> &[Piece<'a>] {
        &self.parts
    }

    /// Returns the bytes that an argument points to.
    pub(crate) fn bytes(&self, what: u32, argument: usize) -> Option<&'a [u8]> {
        self.piece(what, argument).map(|piece| piece.bytes)
    }

    /// Returns what was kept of what an argument points to.
    pub(crate) fn piece(&self, what: u32, argument: usize) -> Option<Piece<'a>> {
        let found = |piece: &&Piece<'_>| piece.what == what && piece.argument as usize == argument;
        self.parts.iter().find(found).copied()
    }

    /// Returns the socket of the first argument, or of the result.
    pub(crate) fn socket(&self, of: u32) -> Option<Socket> {
        let bytes = self.bytes(read::SOCKET, of as usize)?;
        Socket::read_from_prefix(bytes)
            .ok()
            .map(|(socket, _)| socket)
    }

    /// Iterates over the bytes of a stream that the call moved, each with its true length.
    pub(crate) fn stream(&self) -> impl Iterator<Item = (&'a [u8], usize)> {
        let data = self.parts.iter().filter(|piece| piece.what == read::DATA);
        data.map(|piece| (piece.bytes, piece.length as usize))
    }

    /// Returns an argument.
    pub(crate) fn argument(&self, index: usize) -> u64 {
        self.call.arguments.get(index).copied().unwrap_or(0)
    }

    /// Returns the error number of a call that failed.
    pub(crate) fn error(&self) -> Option<i32> {
        let is_error = (-4095..0).contains(&self.call.result);
        is_error.then(|| i32::try_from(-self.call.result).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn bytes(kept: u32, cut: usize) -> Vec<u8> {
        let call = Call {
            time: 9,
            began: 4,
            result: -11,
            arguments: [7, 8, 0, 0, 0, 0],
            pid: 1,
            tid: 2,
            kind: kind::RETURN,
            number: 0,
            parts: 1,
            length: 24,
        };
        let part = Part {
            what: 1,
            argument: 1,
            length: 5,
            kept,
            padding: 0,
        };
        let mut bytes = [call.as_bytes(), part.as_bytes(), b"/etc\0\0\0\0"].concat();
        bytes.truncate(bytes.len() - cut);
        bytes
    }

    #[test]
    fn a_record_has_the_bytes_that_its_arguments_point_to() {
        let bytes = bytes(5, 0);
        let record = Record::parse(&bytes).unwrap();
        assert_eq!(record.bytes(read::TEXT, 1), Some(&b"/etc\0"[..]));
        assert_eq!(
            (record.bytes(read::TEXT, 0), record.error()),
            (None, Some(11))
        );
    }

    #[test]
    fn bytes_that_end_early_are_no_record() {
        for cut in [1, 8, 9, 24, 25, 120] {
            assert!(Record::parse(&bytes(5, cut)).is_none(), "{cut}");
        }
        assert!(Record::parse(&bytes(4_000_000_000, 0)).is_none());
        assert!(Record::parse(&[0; 96]).is_none());
    }
}
