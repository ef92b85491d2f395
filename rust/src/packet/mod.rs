//! Captured packets → the payload of their TCP connections, in order, for any packet source.
//!
//! A source yields [`Packet`]s. [`headers`] parses the TCP segment in each. [`Flows`] reassembles the segments of every
//! connection and reports gaps.

pub mod file;
mod flow;
mod flows;
mod found;
pub mod headers;
mod link;
mod stream;

pub use flows::{Flows, Limits, Unfollowed};
pub use found::{Bytes, Found};
pub use link::Link;

use serde::{Deserialize, Serialize};

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

/// Counts of packets by kind. None of them is a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Packets {
    /// All packets taken.
    pub taken: u64,
    /// TCP segments from or to a followed port.
    pub followed: u64,
    /// All other packets.
    pub other: u64,
    /// Packets captured more than once, for example on two interfaces.
    pub duplicates: u64,
    /// Retransmitted payload, bytes: it had been captured before.
    pub retransmitted_bytes: u64,
    /// Packets that were captured after a later one of their direction.
    pub out_of_order: u64,
    /// Connections that began although one with the same addresses had not ended.
    pub reused: u64,
}

impl Packets {
    /// Returns the counts added since an earlier state.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let Self {
            taken,
            followed,
            other,
            duplicates,
            retransmitted_bytes,
            out_of_order,
            reused,
        } = before;
        Self {
            taken: self.taken - taken,
            followed: self.followed - followed,
            other: self.other - other,
            duplicates: self.duplicates - duplicates,
            retransmitted_bytes: self.retransmitted_bytes - retransmitted_bytes,
            out_of_order: self.out_of_order - out_of_order,
            reused: self.reused - reused,
        }
    }
}

#[cfg(test)]
pub(crate) mod building;
#[cfg(test)]
mod tests;
