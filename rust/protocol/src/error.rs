//! [`ParseError`]: the reasons why bytes are not a message.

use core::fmt;

/// The protocol rule that some bytes break.
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
    /// A `VALUE` line without a key.
    ValueKey,
    /// A `VALUE` line whose client flags are not a 32-bit number.
    ValueFlags,
    /// A `VALUE` line whose size is not a 31-bit number.
    ValueSize,
    /// A `VALUE` line whose cas value is not a 64-bit number, or that has further words.
    ValueCas,
    /// A `VA` line whose size is not a 31-bit number.
    MetaSize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Binary => "binary protocol",
            Self::Magic => "not the magic byte of the binary protocol",
            Self::BodySize => "binary response whose body is shorter than its extras and key",
            Self::LineTooLong => "response line too long",
            Self::ValueKey => "VALUE line without a key",
            Self::ValueFlags => "VALUE line with invalid client flags",
            Self::ValueSize => "VALUE line with an invalid size",
            Self::ValueCas => "VALUE line with an invalid cas value",
            Self::MetaSize => "VA line with an invalid size",
        })
    }
}

impl core::error::Error for ParseError {}
