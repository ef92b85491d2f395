//! [`Segment`]: timed payload bytes of one direction of one connection, with holes. Every source yields segments.

/// The direction of a stream, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to server: what memcached reads.
    Request,
    /// Server to client: what memcached sends.
    Response,
}

/// A run of stream bytes: the bytes themselves, or only their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The bytes that were kept.
    Bytes(&'a [u8]),
    /// The number of bytes that passed and were not kept.
    Hole(u32),
}

/// The bytes of one call, or one record's share of them, in one direction of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Ordinal of the connection within the capture.
    pub connection: u32,
    /// The direction of the bytes.
    pub direction: Direction,
    /// Offset of the first byte in this direction's stream, from the first byte observed.
    pub offset: u64,
    /// Time at which the call returned or the packet passed, `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// Time at which the bytes arrived, where known, `CLOCK_MONOTONIC`, ns.
    pub arrival: Option<u64>,
    /// True for a read that filled the server's buffer. A server that collects requests in it may read again before it
    /// answers.
    pub filled: bool,
    /// Ordinal of the call within its connection and direction; the segments of one call share it.
    pub call: u32,
    /// The bytes, in stream order.
    pub pieces: &'a [Piece<'a>],
}

impl Segment<'_> {
    /// Length in the stream, holes included, bytes.
    #[inline]
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(Piece::length).sum()
    }
}

impl Piece<'_> {
    /// Length in the stream, bytes.
    #[inline]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Hole(length) => u64::from(*length),
        }
    }
}
