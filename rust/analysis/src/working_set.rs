//! Accesses → the keys and bytes that were used, and those alive, over time.

use std::collections::BTreeMap;

use serde::Serialize;

use super::items::{Access, Before, Item};
use super::operation::Operation;
use super::series::{Bucket, Buckets, Series};

/// Amounts so far. Future expiries take at most one entry per distinct second.
#[derive(Default)]
pub(super) struct WorkingSetCounts {
    now: Amounts,
    peak_live_bytes: u64,
    /// Items and bytes that expire, by second since the start.
    expiring: BTreeMap<u32, (u64, u64)>,
    flushes: u16,
    buckets: Buckets<Amounts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amounts {
    keys: u64,
    bytes: u64,
    live_keys: u64,
    live_bytes: u64,
}

/// Size of the working set. Live amounts count items that this recording saw stored or read; items stored before it and
/// not used since are missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkingSet {
    /// Distinct keys.
    pub keys: u64,
    /// Memory that the items of all keys would take together, bytes.
    pub bytes: u64,
    /// Items alive at the end, if nothing was evicted: neither deleted nor past their ttl.
    pub live_keys: u64,
    /// Memory of the items alive at the end, bytes.
    pub live_bytes: u64,
    /// Most memory that live items took at once, bytes: the size of a cache that never has to evict.
    pub peak_live_bytes: u64,
    /// Distinct keys so far, over time.
    pub keys_over_time: Series<u64>,
    /// Memory of the keys so far, over time, bytes.
    pub bytes_over_time: Series<u64>,
    /// Memory of the live items, over time, bytes.
    pub live_bytes_over_time: Series<u64>,
}

impl WorkingSetCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        let Some(access) = operation.access else {
            return;
        };
        self.flush_if_new(access.flushes);
        self.expire(operation.time / 1_000_000_000);
        self.now.keys += u64::from(access.before == Before::Unseen);
        self.now.bytes += u64::from(access.new.footprint);
        self.now.bytes -= u64::from(access.old.footprint);
        self.replace(&access);
        self.peak_live_bytes = self.peak_live_bytes.max(self.now.live_bytes);
        *self.buckets.bucket(operation.time) = self.now;
    }

    fn replace(&mut self, access: &Access) {
        let was_live = access.before == Before::Stored;
        let (old, new) = (&access.old, &access.new);
        let unchanged = old.footprint == new.footprint && old.expires() == new.expires();
        if was_live && access.stored && unchanged {
            return;
        }
        if was_live {
            self.remove(old);
        }
        if access.stored {
            self.add(new);
        }
    }

    fn remove(&mut self, item: &Item) {
        let bytes = u64::from(item.footprint);
        if let Some(at) = item.expires() {
            let Some(entry) = self.expiring.get_mut(&second(at)) else {
                return;
            };
            *entry = (entry.0 - 1, entry.1 - bytes);
        }
        self.now.live_keys -= 1;
        self.now.live_bytes -= bytes;
    }

    fn add(&mut self, item: &Item) {
        let bytes = u64::from(item.footprint);
        self.now.live_keys += 1;
        self.now.live_bytes += bytes;
        if let Some(at) = item.expires() {
            let entry = self.expiring.entry(second(at)).or_default();
            *entry = (entry.0 + 1, entry.1 + bytes);
        }
    }

    fn flush_if_new(&mut self, flushes: u16) {
        if self.flushes != flushes {
            self.flushes = flushes;
            self.expiring.clear();
            self.now.live_keys = 0;
            self.now.live_bytes = 0;
        }
    }

    /// Removes the items that expire in a second once that second is over.
    fn expire(&mut self, now: u64) {
        while let Some(entry) = self
            .expiring
            .first_entry()
            .filter(|entry| u64::from(*entry.key()) < now)
        {
            let (items, bytes) = entry.remove();
            self.now.live_keys -= items;
            self.now.live_bytes -= bytes;
        }
    }

    pub(super) fn finish(&self) -> WorkingSet {
        WorkingSet {
            keys: self.now.keys,
            bytes: self.now.bytes,
            live_keys: self.now.live_keys,
            live_bytes: self.now.live_bytes,
            peak_live_bytes: self.peak_live_bytes,
            keys_over_time: self.over_time(|amounts| amounts.keys),
            bytes_over_time: self.over_time(|amounts| amounts.bytes),
            live_bytes_over_time: self.over_time(|amounts| amounts.live_bytes),
        }
    }

    /// Converts the buckets to a series. A bucket without an access repeats the one before.
    fn over_time(&self, amount: impl Fn(Amounts) -> u64) -> Series<u64> {
        let mut last = Amounts::default();
        self.buckets.finish(|amounts, _| {
            last = last.join(amounts);
            amount(last)
        })
    }
}

fn second(milliseconds: u32) -> u32 {
    milliseconds / 1000
}

impl Bucket for Amounts {
    fn join(self, later: Self) -> Self {
        if later.keys == 0 { self } else { later }
    }
}
