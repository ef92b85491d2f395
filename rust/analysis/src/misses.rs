//! Missed reads → their causes, as far as the recording proves them.

use serde::Serialize;

use super::effect::Effect;
use super::items::{Access, Before};
use super::operation::Operation;

/// Misses by cause. A cause is named only where a recorded event proves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Misses {
    /// All misses.
    pub count: u64,
    /// First use of the key in this recording: never stored, or gone before the recording began.
    pub first_seen: u64,
    /// The ttl recorded with the last write had ended, or was within memcached's clock tick of 1 s of its end.
    pub expired: u64,
    /// After the last write, the item was deleted or another command found it absent.
    pub deleted: u64,
    /// A `flush_all` followed the last write.
    pub flushed: u64,
    /// The key was used before, but no write of it was seen.
    pub never_stored: u64,
    /// The item should still have been there: evicted, or lost in a restart.
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
