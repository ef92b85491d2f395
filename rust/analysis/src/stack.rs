//! Keys in the order of their last use → the bytes and items used since.
//!
//! A Fenwick tree over positions in time: using a key removes it from its old position and appends it. Appending takes
//! two additions on average. A query takes the logarithm of the number of positions since, not of the number of keys.

/// Unused positions, beyond one per key, at which the tree is rebuilt.
const SLACK: usize = 1 << 16;
/// Position of a key that is not in the stack.
const ABSENT: u32 = u32::MAX;

/// Bytes and items of a key or of a range of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) bytes: u64,
    pub(super) items: u64,
}

/// LRU stack of keys. Takes 8 bytes per distinct key and 20 per position; there are at most twice as many positions as
/// keys in the stack, plus [`SLACK`].
pub(super) struct Stack {
    /// Position and size of each key.
    slots: Vec<Slot>,
    /// Key at each position.
    keys: Vec<u32>,
    /// Sums: node `i` covers positions `i - lowest_bit(i) .. i`; node 0 is not used.
    tree: Vec<Used>,
    /// Number of keys in the stack.
    live: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    position: u32,
    bytes: u32,
}

impl Default for Stack {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            keys: Vec::new(),
            tree: vec![Used::default()],
            live: 0,
        }
    }
}

impl Stack {
    /// Bytes and items used since the key was, including the key itself; `None` if it is not in the stack.
    pub(super) fn distance(&self, key: usize) -> Option<Used> {
        let slot = self.slots.get(key).filter(|slot| slot.position != ABSENT)?;
        let later = self.sum_after(slot.position as usize + 1);
        Some(Used {
            bytes: later.bytes + u64::from(slot.bytes),
            items: later.items + 1,
        })
    }

    /// Moves the key to the top and sets its size.
    pub(super) fn push(&mut self, key: usize, bytes: u32) {
        self.remove(key);
        if self.keys.len() > 2 * self.live + SLACK {
            self.compact();
        }
        if key >= self.slots.len() {
            let absent = Slot {
                position: ABSENT,
                bytes: 0,
            };
            self.slots.resize(key + 1, absent);
        }
        self.append(ordinal(key), bytes);
    }

    /// Removes the key if it is in the stack.
    pub(super) fn remove(&mut self, key: usize) {
        let Some(slot) = self
            .slots
            .get_mut(key)
            .filter(|slot| slot.position != ABSENT)
        else {
            return;
        };
        let mut node = slot.position as usize + 1;
        slot.position = ABSENT;
        let bytes = u64::from(slot.bytes);
        self.live -= 1;
        while let Some(used) = self.tree.get_mut(node) {
            used.bytes -= bytes;
            used.items -= 1;
            node += lowest_bit(node);
        }
    }

    fn append(&mut self, key: u32, bytes: u32) {
        self.slots[key as usize] = Slot {
            position: ordinal(self.keys.len()),
            bytes,
        };
        self.keys.push(key);
        self.live += 1;
        let node = self.tree.len();
        let mut used = Used {
            bytes: u64::from(bytes),
            items: 1,
        };
        let mut step = 1;
        while step < lowest_bit(node) {
            used.bytes += self.tree[node - step].bytes;
            used.items += self.tree[node - step].items;
            step *= 2;
        }
        self.tree.push(used);
    }

    /// Sums the positions after `node`, counted from 1.
    fn sum_after(&self, mut node: usize) -> Used {
        let mut sum = Used::default();
        let mut end = self.tree.len() - 1;
        while end > node {
            sum.bytes += self.tree[end].bytes;
            sum.items += self.tree[end].items;
            end -= lowest_bit(end);
        }
        while node > end {
            sum.bytes -= self.tree[node].bytes;
            sum.items -= self.tree[node].items;
            node -= lowest_bit(node);
        }
        sum
    }

    /// Rebuilds the tree without its unused positions.
    fn compact(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        self.tree.truncate(1);
        self.live = 0;
        for (position, key) in keys.into_iter().enumerate() {
            let slot = self.slots[key as usize];
            if slot.position as usize == position {
                self.append(key, slot.bytes);
            }
        }
    }
}

fn lowest_bit(node: usize) -> usize {
    node & node.wrapping_neg()
}

fn ordinal(index: usize) -> u32 {
    u32::try_from(index).expect("keys are numbered below 2^31, positions are at most twice as many")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of the stack: a list, most recent last.
    #[derive(Default)]
    struct List(Vec<(usize, u32)>);

    impl List {
        fn distance(&self, key: usize) -> Option<Used> {
            let at = self.0.iter().position(|&(it, _)| it == key)?;
            Some(Used {
                bytes: self.0[at..]
                    .iter()
                    .map(|&(_, bytes)| u64::from(bytes))
                    .sum(),
                items: (self.0.len() - at) as u64,
            })
        }
    }

    proptest! {
        #[test]
        fn distances_are_those_of_a_list_in_order_of_use(
            steps in prop::collection::vec((0usize..40, 0u32..1000, 0u8..10, any::<bool>()), 0..400)
        ) {
            let (mut stack, mut list) = (Stack::default(), List::default());
            for (key, bytes, action, compact) in steps {
                prop_assert_eq!(stack.distance(key), list.distance(key));
                list.0.retain(|&(it, _)| it != key);
                if action == 0 {
                    stack.remove(key);
                } else {
                    stack.push(key, bytes);
                    list.0.push((key, bytes));
                }
                if compact {
                    stack.compact();
                }
            }
        }
    }
}
