//! [`Numbering`]: values → ordinals in order of first appearance, in bounded memory.

use std::hash::Hash;

use membench_event::Generations;

/// Ordinals of the values of a capture. Equal values have equal ordinals.
///
/// A value that was not seen while `generation` to twice as many others appeared is forgotten, and gets a new ordinal when
/// it appears again.
#[derive(Debug)]
pub struct Numbering<K> {
    known: Generations<K, u32>,
    next: u32,
}

impl<K: Hash + Eq + Clone> Numbering<K> {
    /// Creates an empty numbering.
    pub fn new(generation: usize) -> Self {
        Self {
            known: Generations::new(generation),
            next: 0,
        }
    }

    /// Returns the ordinal of `value` and assigns one to a new value.
    pub fn ordinal(&mut self, value: K) -> u32 {
        if let Some(known) = self.known.get(&value) {
            return known;
        }
        let ordinal = self.next;
        self.next = self.next.wrapping_add(1);
        self.known.turn_if_full();
        self.known.insert(value, ordinal);
        ordinal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_ordinals_in_order_of_appearance() {
        let mut numbering = Numbering::new(8);
        let seen: Vec<u32> = [7, 9, 7, 1, 9]
            .into_iter()
            .map(|value| numbering.ordinal(value))
            .collect();
        assert_eq!(seen, [0, 1, 0, 2, 1]);
    }

    #[test]
    fn a_value_survives_one_change_of_generation_and_not_two() {
        let mut numbering = Numbering::new(100);
        let first = numbering.ordinal(u64::MAX);
        for value in 0..100 {
            numbering.ordinal(value);
        }
        assert_eq!(numbering.ordinal(u64::MAX), first);
        for value in 1_000..1_200 {
            numbering.ordinal(value);
        }
        assert_ne!(numbering.ordinal(u64::MAX), first);
    }
}
