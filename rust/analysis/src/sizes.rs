//! Operations → sizes of keys, values and items.

use serde::Serialize;

use super::effect::Effect;
use super::items::{Item, Items};
use super::operation::Operation;
use super::quantiles::{Distribution, Quantiles};

/// Size distributions: three histograms of 190 kB each.
#[derive(Default)]
pub(super) struct SizeCounts {
    key: Distribution,
    read: Distribution,
    written: Distribution,
    read_bytes: u64,
    written_bytes: u64,
}

/// Sizes in bytes; `None` if nothing of the kind was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sizes {
    /// Sizes of keys, one per operation.
    pub key: Option<Quantiles>,
    /// Sizes of values returned by reads.
    pub value_read: Option<Quantiles>,
    /// Sizes of values sent by writes.
    pub value_written: Option<Quantiles>,
    /// Last known sizes of values, one per distinct key whose item was seen.
    pub value_by_key: Option<Quantiles>,
    /// Bytes of values returned by reads.
    pub read_bytes: u64,
    /// Bytes of values sent by writes.
    pub written_bytes: u64,
}

impl SizeCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        let event = operation.event;
        if let Some(size) = event.key_size {
            self.key.record(u64::from(size));
        }
        let Some((size, access)) = event.value_size.zip(operation.access) else {
            return;
        };
        let size = u64::from(size);
        match access.effect {
            Effect::Read { found: Some(false) } => {}
            Effect::Read { .. } => {
                self.read.record(size);
                self.read_bytes += size;
            }
            _ => {
                self.written.record(size);
                self.written_bytes += size;
            }
        }
    }

    pub(super) fn finish(&self, items: &Items) -> Sizes {
        let mut by_key = Distribution::default();
        let values = items.all().iter().filter_map(Item::value);
        values.for_each(|size| by_key.record(u64::from(size)));
        Sizes {
            key: self.key.finish(),
            value_read: self.read.finish(),
            value_written: self.written.finish(),
            value_by_key: by_key.finish(),
            read_bytes: self.read_bytes,
            written_bytes: self.written_bytes,
        }
    }
}
