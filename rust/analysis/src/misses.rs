//! Reads that missed → why, as far as the recording proves it.

use serde::Serialize;

use super::effect::Effect;
use super::items::{Access, Before};
use super::operation::Operation;

/// Misses by what was known of the item. A cause is only named where a recorded event proves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Misses {
    /// All misses.
    pub count: u64,
    /// The key's first use in this recording: never stored, or gone before the recording began.
    pub first_seen: u64,
    /// The ttl recorded with its last write had ended, or had less than the server's clock tick of 1 s to go.
    pub expired: u64,
    /// Its last write was a delete.
    pub deleted: u64,
    /// A `flush_all` came after its last write.
    pub flushed: u64,
    /// The key was asked for before, and no write of it was seen.
    pub never_stored: u64,
    /// It was stored and should still be there: evicted, or lost with a restart.
    pub other: u64,
}

impl Misses {
    pub(super) fn observe(&mut self, operation: &Operation) {
        let Some(access) = operation.access else {
            return;
        };
        if access.effect == (Effect::Read { found: Some(false) }) {
            self.count += 1;
            *self.cause(&access) += 1;
        }
    }

    fn cause(&mut self, access: &Access) -> &mut u64 {
        match access.before {
            Before::Unseen => &mut self.first_seen,
            Before::NeverStored => &mut self.never_stored,
            Before::Expired => &mut self.expired,
            Before::Stored if access.expiring => &mut self.expired,
            Before::Stored => &mut self.other,
            Before::Deleted => &mut self.deleted,
            Before::Flushed => &mut self.flushed,
        }
    }
}
