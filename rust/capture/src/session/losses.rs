//! Losses that records tell of → the list of them, and what is left to decode.

use membench_common::{Header, counter};
use membench_event::{LossRow, Piece, Segment, Server, Totals};

use super::Session;

/// Most losses listed one by one; the ledger counts the rest.
const LOSSES_LISTED: usize = 100_000;

impl Session {
    /// What follows was decoded without these bytes, which were counted then: it cannot be undone.
    pub(super) fn leave_late(&mut self, header: &Header, connection: u32, length: u64) {
        self.late += length;
        self.list_loss(header.time, connection, "late", length);
    }

    pub(super) fn note_loss(&mut self, header: &Header, connection: u32, bytes: u64) {
        let cause = loss_term(header.lost.trailing_zeros()).unwrap_or("ring_full");
        self.list_loss(header.time, connection, cause, bytes);
    }

    pub(crate) fn list_loss(&mut self, time: u64, connection: u32, cause: &str, bytes: u64) {
        if self.losses.len() < LOSSES_LISTED {
            self.losses.push(LossRow {
                time,
                connection: Some(connection),
                cause: cause.to_owned(),
                bytes,
            });
        }
    }

    /// The losses listed so far, once.
    pub(crate) fn take_losses(&mut self) -> Vec<LossRow> {
        std::mem::take(&mut self.losses)
    }
}

/// A call of which nothing could be read is bytes that were seen and lost, which the kernel's programs have counted: a gap.
/// Returns what is left, and the length of that gap.
pub(super) fn without_fault<'a>(header: &Header, segment: Segment<'a>) -> (Segment<'a>, u64) {
    let is_hole = |piece: &Piece<'_>| matches!(piece, Piece::Hole(_));
    if header.lost & 1 << counter::FAULT == 0 || !segment.pieces.iter().all(is_hole) {
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

/// Adds what decoding a connection found to its server's flows.
pub(crate) fn add(servers: &mut [Server], server: u32, totals: &Totals) {
    if let Some(server) = servers.get_mut(server as usize) {
        server.request.add(&totals.request);
        server.response.add(&totals.response);
    }
}

/// What the ledger calls the loss that a counter counts; none for counters that count no loss.
pub(crate) fn loss_term(index: u32) -> Option<&'static str> {
    Some(match index {
        counter::RING_FULL => "ring_full",
        counter::MISSED => "missed",
        counter::RECORD_LIMIT => "record_limit",
        counter::OTHER_SYSCALL => "other_syscall",
        counter::IO_URING => "io_uring",
        counter::KERNEL_THREAD => "kernel_thread",
        counter::COMPAT_TASK => "compat_task",
        counter::FAULT => "fault",
        counter::NO_STATE => "no_state",
        counter::UDP => "udp",
        counter::OTHER_FAMILY => "other_family",
        counter::UNATTENDED => "unattended",
        _ => return None,
    })
}
