//! Losses → a list of them, one by one up to a limit; and bytes that a record tells were lost inside it.

use membench_common::counter;
use membench_event::{LossRow, Piece, Segment};

/// Most losses listed one by one; the ledger counts the rest.
const LISTED: usize = 100_000;

/// Losses listed one by one.
#[derive(Debug, Default)]
pub(super) struct Losses(Vec<LossRow>);

impl Losses {
    /// Lists a loss on a connection, if there is room.
    pub(super) fn list(&mut self, time: u64, connection: u32, cause: &str, bytes: u64) {
        if self.0.len() < LISTED {
            self.0.push(LossRow {
                time,
                connection: Some(connection),
                cause: cause.to_owned(),
                bytes,
            });
        }
    }

    /// Takes the losses listed since the last call.
    pub(super) fn take(&mut self) -> Vec<LossRow> {
        std::mem::take(&mut self.0)
    }
}

/// Turns a segment of a call whose buffer could not be read at all into a gap: the kernel programs have counted its bytes
/// as lost. `lost` is the record's set of causes. Returns the rest of the segment, and the length of that gap.
pub(super) fn without_fault(lost: u32, segment: Segment<'_>) -> (Segment<'_>, u64) {
    let is_hole = |piece: &Piece<'_>| matches!(piece, Piece::Hole(_));
    if lost & 1 << counter::FAULT == 0 || !segment.pieces.iter().all(is_hole) {
        return (segment, 0);
    }
    let length = segment.length();
    let rest = Segment {
        offset: segment.offset + length,
        pieces: &[],
        ..segment
    };
    (rest, length)
}
