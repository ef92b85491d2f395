//! Sizes of a key and its value → the `-m` memory that memcached spends on the item, bytes.

/// Bytes of the item header (48) and the cas (8).
const HEADER: u32 = 56;
/// Bytes of the key's terminating NUL and the value's CR LF.
const TERMINATORS: u32 = 3;
/// Bytes of client flags, which are stored only if not 0.
const FLAGS: u32 = 4;
/// Smallest chunk with the default `-n 48`, bytes.
const SMALLEST: u32 = 96;
/// Largest chunk, bytes: half of a 1 MiB page. Larger items are chains of chunks.
const LARGEST: u32 = 512 * 1024;

/// Method of counting the size of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemSize {
    /// As memcached 1.6 stores it with default settings: header, cas, terminators, rounded up to its slab class.
    #[default]
    Memcached,
    /// Key and value bytes only, as cache simulators count.
    KeyAndValue,
}

/// Computes the memory that items take.
pub(super) struct Footprint {
    size: ItemSize,
    /// Chunk sizes of the slab classes, ascending.
    classes: Vec<u32>,
}

impl Footprint {
    pub(super) fn new(size: ItemSize) -> Self {
        Self {
            size,
            classes: classes(),
        }
    }

    /// Memory that an item takes, bytes, saturating.
    pub(super) fn bytes(&self, key_size: u8, value_size: u32, has_flags: bool) -> u32 {
        let content = value_size.saturating_add(u32::from(key_size));
        match self.size {
            ItemSize::KeyAndValue => content,
            ItemSize::Memcached => {
                let flags = if has_flags { FLAGS } else { 0 };
                self.round_up(content.saturating_add(HEADER + TERMINATORS + flags))
            }
        }
    }

    fn round_up(&self, bytes: u32) -> u32 {
        let whole = bytes / LARGEST * LARGEST;
        match bytes % LARGEST {
            0 => whole,
            rest => whole.saturating_add(self.chunk(rest)),
        }
    }

    fn chunk(&self, bytes: u32) -> u32 {
        let class = self.classes.partition_point(|&chunk| chunk < bytes);
        self.classes.get(class).copied().unwrap_or(LARGEST)
    }
}

/// Chunk sizes of memcached's default slab classes: growth by 1.25, aligned to 8 bytes.
/// <https://github.com/memcached/memcached/blob/1.6.18/slabs.c#L180>
fn classes() -> Vec<u32> {
    let mut chunk = SMALLEST;
    let mut classes = Vec::new();
    while chunk < LARGEST * 4 / 5 {
        classes.push(chunk);
        chunk = (chunk * 5 / 4).next_multiple_of(8);
    }
    classes.push(LARGEST);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_rounded_up_to_memcacheds_default_slab_classes() {
        let footprint = Footprint::new(ItemSize::Memcached);
        let cases = [
            ((1, 0, false), 96),
            ((10, 27, false), 96),
            ((10, 28, false), 120),
            ((10, 27, true), 120),
            ((36, 224, false), 384),
            ((10, 600_000, false), 524_288 + 82_792),
        ];
        for ((key, value, flags), expected) in cases {
            assert_eq!(
                footprint.bytes(key, value, flags),
                expected,
                "{key} {value}"
            );
        }
    }

    #[test]
    fn no_size_overflows() {
        let footprint = Footprint::new(ItemSize::Memcached);
        assert_eq!(footprint.bytes(250, u32::MAX, true), u32::MAX);
        let plain = Footprint::new(ItemSize::KeyAndValue);
        assert_eq!(plain.bytes(250, u32::MAX, true), u32::MAX);
    }
}
