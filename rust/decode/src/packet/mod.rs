//! Captured packets → the payload of their TCP connections, in order, for any packet source.
//!
//! A source yields [`Packet`]s. [`headers`] parses the TCP segment in each. [`Flows`] reassembles the segments of every
//! connection and reports gaps.

mod error;
pub mod file;
mod finding;
mod flow;
pub mod headers;
mod link;
mod stream;
mod tracker;

pub use error::PacketError;
pub use finding::{Bytes, Found};
pub use link::Link;
pub use tracker::{Flows, Limits, Unfollowed};

/// One packet as a source captured it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Time of passage, ns, on the clock of the source's anchor.
    pub time: u64,
    /// Link type: the kind of the first header.
    pub link: Link,
    /// Captured bytes, from the first header on.
    pub bytes: &'a [u8],
    /// Original length, bytes.
    pub length: u32,
    /// Direction through the interface; `None` if the source does not know.
    pub way: Option<Way>,
}

/// Direction of a packet through the interface it was captured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Incoming.
    Received,
    /// Outgoing.
    Sent,
}

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
