//! What packets turn out to hold: connections that begin and end, and their bytes in order.

use std::net::SocketAddr;

use membench_event::Direction;

/// What was found in the packets.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// A connection's first payload follows.
    Opened {
        /// The connection, by a number that is never used again.
        flow: u64,
        /// Who asks.
        client: SocketAddr,
        /// Who answers.
        server: SocketAddr,
        /// When it began, or its first payload passed, ns.
        time: u64,
        /// Its beginning was not captured.
        mid_stream: bool,
    },
    /// Payload, in order.
    Bytes(Bytes<'a>),
    /// A direction has ended, everything before was handed on.
    Ended {
        /// The connection.
        flow: u64,
        /// Which direction.
        direction: Direction,
    },
    /// The connection is over.
    Closed {
        /// The connection.
        flow: u64,
        /// When, ns.
        time: u64,
        /// Both sides ended it, and everything before was handed on or given up.
        orderly: bool,
    },
}

/// Payload of one direction that follows what was handed on before, or the gap that is given up before it.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// The connection.
    pub flow: u64,
    /// Which way.
    pub direction: Direction,
    /// Position of its first byte in its direction.
    pub offset: u64,
    /// When it was complete, ns: it passed, or what was missing before it did.
    pub time: u64,
    /// Ordinal of the segment in its direction.
    pub call: u32,
    /// What was captured,
    pub bytes: &'a [u8],
    /// and how many bytes behind it were not.
    pub hole: u32,
    /// Everything before was received by both sides, as far as their acknowledgements say.
    pub at_rest: bool,
    /// How long no payload had passed either way, ns.
    pub pause: u64,
}
