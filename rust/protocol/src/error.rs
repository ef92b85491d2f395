//! Why bytes are no message.

use core::fmt;

/// The rule of the protocol that some bytes break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The first byte of a line is the binary protocol's magic (0x80 in requests, 0x81 in responses).
    Binary,
    /// The first byte of a binary message is not its magic.
    Magic,
    /// A binary response whose extras and key are longer than its body.
    BodySize,
    /// No line end within [`LINE_SIZE_MAX`](crate::LINE_SIZE_MAX) bytes of a response.
    LineTooLong,
    /// A `VALUE` line without key.
    ValueKey,
    /// A `VALUE` line whose client flags are no 32-bit number.
    ValueFlags,
    /// A `VALUE` line whose size is no 31-bit number.
    ValueSize,
    /// A `VALUE` line whose cas is no 64-bit number, or that has further words.
    ValueCas,
    /// A `VA` line whose size is no 31-bit number.
    MetaSize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Binary => "binary protocol",
            Self::Magic => "no magic byte of the binary protocol",
            Self::BodySize => "binary response shorter than its key",
            Self::LineTooLong => "response line without end",
            Self::ValueKey => "VALUE line without key",
            Self::ValueFlags => "VALUE line with bad flags",
            Self::ValueSize => "VALUE line with a bad size",
            Self::ValueCas => "VALUE line with a bad cas",
            Self::MetaSize => "VA line with a bad size",
        })
    }
}

impl core::error::Error for ParseError {}
