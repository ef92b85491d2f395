//! A connection's calls while it has yielded no request → whether that is a start in the middle, or another protocol.
//!
//! A connection that was open before the start begins in the middle of a request and of its answer, and those bytes are no
//! loss. They cannot last: once the server has answered two reads that begin at a barrier and hold no request, what it
//! answered last began after the first of them, so a whole request has passed unread.

use membench_event::{Direction, Piece, Segment};

/// Number of answered barriers without a request after which a whole request has certainly passed unread.
const ANSWERED: u32 = 2;
/// Number of changes from reading to sending after which a whole request counts as passed unread, barriers or not.
const CHANGES: u32 = 64;
/// Segments at the start of a connection that are examined for TLS. OpenSSL reads a record's header by itself.
const EXAMINED: u32 = 8;
/// Number of examined segments that must begin with the header of a TLS record before a connection counts as TLS.
const RECORDS: u32 = 2;

/// Longest TLS record, bytes: <https://www.rfc-editor.org/rfc/rfc8446#section-5.2>, and what earlier versions add.
const LONGEST_RECORD: u16 = (1 << 14) + 2048;

/// Calls of a connection whose start has not ended, by what they prove about its protocol.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// True if bytes were read after the latest send.
    read: bool,
    /// True if the server has read at a barrier since its latest send.
    at_barrier: bool,
    /// Number of sends that answered a read at a barrier.
    answered: u32,
    /// Number of changes from reading to sending.
    changes: u32,
    /// Number of segments examined for TLS.
    examined: u32,
    /// Number of examined segments that began with the header of a TLS record.
    records: u32,
}

impl Unread {
    /// Examines the start of a segment. Returns true once the connection proves to carry TLS. A connection that is not
    /// at its start in the middle does so from its first segment on, or not at all.
    pub(super) fn examine(&mut self, segment: &Segment<'_>, at_start: bool) -> bool {
        if self.examined >= EXAMINED {
            return false;
        }
        self.examined += 1;
        let is_record = matches!(segment.pieces, [Piece::Bytes(bytes), ..] if begins_record(bytes));
        self.records += u32::from(is_record);
        if self.records == 0 && !at_start {
            self.examined = EXAMINED;
        }
        is_record && self.records == RECORDS
    }

    /// Notes a call on a connection whose start has not ended; `at_barrier` is true if the server read at one since its
    /// latest send.
    pub(super) fn note(&mut self, direction: Direction, at_barrier: bool) {
        match direction {
            Direction::Request => {
                self.read = true;
                self.at_barrier |= at_barrier;
            }
            Direction::Response => {
                self.changes += u32::from(std::mem::take(&mut self.read));
                self.answered += u32::from(std::mem::take(&mut self.at_barrier));
            }
        }
    }

    /// Returns true if a whole request must have passed unread, as none has been found.
    pub(super) fn has_passed_a_request(&self) -> bool {
        self.answered >= ANSWERED
    }

    /// Returns true if the connection has yielded no request for longer than a start in the middle can last.
    pub(super) fn has_lasted(&self) -> bool {
        self.changes >= CHANGES
    }
}

/// Returns true if `bytes` begin with the header of a TLS record.
fn begins_record(bytes: &[u8]) -> bool {
    let [kind, major, minor, high, low, ..] = *bytes else {
        return false;
    };
    let length = u16::from_be_bytes([high, low]);
    matches!(kind, 20..=23) && major == 3 && minor <= 4 && (1..=LONGEST_RECORD).contains(&length)
}
