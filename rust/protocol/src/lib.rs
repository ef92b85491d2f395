//! memcached's text, meta and binary protocols: bytes in, borrowed tokens out. Parsing allocates nothing and keeps no
//! state beyond one message.
//!
//! [`request::parse`] and [`response::parse`] read lines, [`binary`] reads binary messages, and [`encode::Encoder`]
//! writes requests.
#![no_std]

#[cfg(test)]
extern crate std;

mod answers;
pub mod base64;
pub mod binary;
mod command;
mod dialect;
pub mod encode;
mod error;
mod flags;
mod form;
mod key;
mod line;
mod number;
mod quiet;
pub mod request;
pub mod response;
mod token;

pub use answers::Answers;
pub use command::Command;
pub use dialect::Dialect;
pub use error::ParseError;
pub use flags::{Letters, MetaFlag, MetaFlags};
pub use form::{Follows, Form, Refusal, refusal};
pub use key::{KEY_SIZE_MAX, Key, Keys};
pub use line::{LINE_SIZE_MAX, may_grow};
pub use quiet::{is_ordinary, is_silent};
pub use request::Request;
pub use response::Response;

/// The result of parsing the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<T> {
    /// The bytes start with a whole line, or with the whole header and key of a binary message.
    Complete {
        /// The parsed message.
        value: T,
        /// Size of the parsed part, line end included, bytes.
        consumed: usize,
    },
    /// More bytes are needed: the line, or the binary header and key, is incomplete.
    Partial,
}
