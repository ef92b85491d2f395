//! Reassembled packets → what a session takes: connections that open and close, and their payload in order.

use std::net::SocketAddr;

use membench_event::Direction;

/// One finding of [`Flows`](super::Flows) about a connection.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// A connection opens; its first payload follows.
    Opened {
        /// Number of the connection, never used again.
        flow: u64,
        /// Address that sends requests.
        client: SocketAddr,
        /// Address that sends responses.
        server: SocketAddr,
        /// Time of its first packet, ns, or of its first payload if `mid_stream`.
        time: u64,
        /// True if its beginning was not captured.
        mid_stream: bool,
    },
    /// Payload in order, or a gap.
    Bytes(Bytes<'a>),
    /// A UDP datagram of a server or one of its clients.
    Datagram(Datagram<'a>),
    /// A client of datagrams has been silent, so that its open requests will not be answered.
    Left {
        /// Number of the server's socket.
        socket: u64,
        /// Address of the client.
        client: SocketAddr,
    },
    /// A direction has ended; everything before was handed on.
    Ended {
        /// Number of the connection.
        flow: u64,
        /// Direction that ended.
        direction: Direction,
    },
    /// A connection is closed; nothing about it follows.
    Closed {
        /// Number of the connection.
        flow: u64,
        /// Time, ns.
        time: u64,
        /// True if both sides ended the connection and everything before was handed on or given up.
        orderly: bool,
    },
}

/// Payload of one direction. A jump of `offset` past the last payload is a gap whose bytes were given up.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// Number of the connection.
    pub flow: u64,
    /// Direction of the payload.
    pub direction: Direction,
    /// Offset of the first byte in its direction.
    pub offset: u64,
    /// Time at which the payload was complete, ns: its own passage, or that of earlier bytes captured later.
    pub time: u64,
    /// Ordinal of the segment in its direction.
    pub call: u32,
    /// Captured bytes.
    pub bytes: &'a [u8],
    /// Number of bytes after `bytes` that were not captured.
    pub hole: u32,
    /// True if both sides had received everything before, as far as acknowledgements show.
    pub at_rest: bool,
    /// Time since the last payload in either direction, or since the first packet, ns.
    pub pause: u64,
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Number of the server's socket, which no connection has.
    pub socket: u64,
    /// Address that sends requests.
    pub client: SocketAddr,
    /// Address that sends responses.
    pub server: SocketAddr,
    /// Direction of the datagram.
    pub direction: Direction,
    /// Time of passage, ns.
    pub time: u64,
    /// Captured payload, frame header included.
    pub bytes: &'a [u8],
    /// Number of bytes after `bytes` that were not captured.
    pub hole: u32,
}
