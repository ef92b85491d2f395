//! memcached's protocols, text, meta and binary: bytes in, borrowed tokens out; no allocation, no state beyond one message.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod base64;
pub mod binary;
mod command;
mod dialect;
pub mod encode;
mod error;
mod flags;
mod key;
mod line;
mod number;
mod quiet;
pub mod request;
pub mod response;
mod token;

pub use command::Command;
pub use dialect::Dialect;
pub use error::ParseError;
pub use flags::{MetaFlag, MetaFlags};
pub use key::{KEY_SIZE_MAX, Key, Keys};
pub use line::{LINE_SIZE_MAX, may_grow};
pub use quiet::{is_ordinary, is_silent};
pub use request::Request;
pub use response::Response;

/// What parsing the start of some bytes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<T> {
    /// A whole message line.
    Complete {
        /// What it says.
        value: T,
        /// Bytes of it, line end included.
        consumed: usize,
    },
    /// The line's end has not arrived.
    Partial,
}
