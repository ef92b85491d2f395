//! Captured packets → both directions of their connections, in order: what every packet source hands over, and what
//! becomes of it.
//!
//! A source yields a [`Packet`]; [`headers`] finds the TCP segment in it, [`Flows`] puts the segments of each
//! connection in order and tells what is missing.

mod error;
pub mod file;
mod flow;
mod flows;
mod found;
pub mod headers;
mod link;
mod stream;

pub use error::PacketError;
pub use flows::{Flows, Limits, Unfollowed};
pub use found::{Bytes, Found};
pub use link::Link;

/// One packet as a source captured it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it passed, ns; on the clock of its source's anchor.
    pub time: u64,
    /// What its first header is.
    pub link: Link,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// How long it was, bytes.
    pub length: u32,
    /// Which way it went, where the source knows.
    pub way: Option<Way>,
}

/// Which way a packet went through the interface it was captured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// It came in.
    Received,
    /// It went out.
    Sent,
}

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod building;
#[cfg(test)]
mod tests;
