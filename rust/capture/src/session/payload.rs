//! A record's header and bytes → a segment.

use membench_common::{Header, kind};
use membench_event::{Direction, Piece, Segment};
use smallvec::SmallVec;

/// Returns the bytes of a record as a segment, of no connection yet.
pub(super) fn segment<'a>(
    header: &Header,
    direction: Direction,
    pieces: &'a [Piece<'a>],
) -> Segment<'a> {
    Segment {
        connection: 0,
        direction,
        offset: header.offset,
        time: header.time,
        arrival: (header.arrival != 0).then_some(header.arrival),
        filled: header.kind == kind::REQUEST_FILLED,
        call: header.call,
        pieces,
    }
}

/// Returns payload as the decoder takes it.
pub(super) fn pieces(bytes: &[u8], hole: u32) -> SmallVec<[Piece<'_>; 2]> {
    let mut pieces = SmallVec::new();
    if !bytes.is_empty() {
        pieces.push(Piece::Bytes(bytes));
    }
    if hole > 0 {
        pieces.push(Piece::Hole(hole));
    }
    pieces
}
