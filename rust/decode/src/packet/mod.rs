//! Captured packets → both directions of their connections, in order: what every packet source hands over, and what
//! becomes of it.
//!
//! A source yields a [`Packet`]; [`headers`] finds the TCP segment in it, [`Flows`] puts the segments of each
//! connection in order and tells what is missing.

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

/// What packets were, beside the bytes they carried; none of it is a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Packets {
    /// Packets taken.
    pub taken: u64,
    /// TCP of the ports, or to them.
    pub followed: u64,
    /// Something else.
    pub other: u64,
    /// The same packet captured again, on another interface or twice.
    pub duplicates: u64,
    /// Payload that had been captured already, bytes: sent again.
    pub retransmitted_bytes: u64,
    /// Packets that came before an earlier one of their direction.
    pub out_of_order: u64,
    /// Times a connection began where one with the same addresses had not ended.
    pub reused: u64,
}

impl Packets {
    /// What was added since an earlier state.
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
