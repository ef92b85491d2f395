//! What every source yields: timed payload bytes of one direction of one connection, with holes.

/// Which way bytes go, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to server: what memcached reads.
    Request,
    /// Server to client: what memcached sends.
    Response,
}

/// A run of stream bytes: kept, or known only by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// This many bytes were moved but not kept.
    Hole(u32),
}

/// One call's bytes (or the share of them in one record) in one direction of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Ordinal of the connection in this capture.
    pub connection: u32,
    /// Which way.
    pub direction: Direction,
    /// Offset of the first byte in this direction's stream, from the first byte observed.
    pub offset: u64,
    /// When the call returned (or the packet passed), `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// When the bytes had arrived, where known, ns.
    pub arrival: Option<u64>,
    /// A read of the server's that filled its buffer: if it gathers requests there, it may read on before it answers.
    pub filled: bool,
    /// Ordinal of the call on its connection and direction; the segments of one call share it.
    pub call: u32,
    /// The bytes, in stream order.
    pub pieces: &'a [Piece<'a>],
}

impl Segment<'_> {
    /// Length in the stream, holes included.
    #[inline]
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(Piece::length).sum()
    }
}

impl Piece<'_> {
    /// Length in the stream.
    #[inline]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Hole(length) => u64::from(*length),
        }
    }
}
