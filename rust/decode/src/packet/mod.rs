//! Captured packets → the payload of their TCP connections, in order, and their UDP datagrams, for any packet source.
//!
//! A source yields [`Packet`]s. [`headers`] parses the segment or datagram in each. [`Flows`] reassembles the segments of
//! every connection and reports gaps.

mod clock;
mod content;
mod datagrams;
mod early;
mod encapsulation;
mod error;
pub mod file;
mod finding;
mod flow;
pub mod headers;
mod link;
mod sightings;
mod stream;
mod tracker;

pub use clock::Clock;
pub use encapsulation::Encapsulation;
pub use error::PacketError;
pub use finding::{Bytes, Datagram, Found};
pub use link::Link;
pub use sightings::{PortTraffic, Sightings};
pub use tracker::{Flows, Limits, Unfollowed};

/// Ports whose servers are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// These ports.
    Of(Vec<u16>),
    /// Any port: content tells which connections are memcached's.
    Any,
}

impl Default for Ports {
    fn default() -> Self {
        Self::Of(Vec::new())
    }
}

impl Ports {
    /// True if servers on this port may be followed.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::Of(ports) => ports.contains(&port),
            Self::Any => true,
        }
    }
}

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
