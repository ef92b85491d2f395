//! cas values → ordinals within a capture. Equal values get equal ordinals; a profile never holds the values.

use std::collections::HashMap;

/// Values in one generation. Two generations bound the table to about 100 MB.
const GENERATION: usize = 1 << 21;

/// Numbers cas values in order of first appearance.
///
/// Memory stays bounded over days: a value not seen while two to four million others appeared is forgotten and would
/// get a new ordinal. A `cas` follows its `gets` far sooner.
#[derive(Debug, Default)]
pub(super) struct CasOrdinals {
    recent: HashMap<u64, u32>,
    old: HashMap<u64, u32>,
    next: u32,
}

impl CasOrdinals {
    /// Returns the ordinal of `value` and assigns one to a new value.
    pub(super) fn ordinal(&mut self, value: u64) -> u32 {
        if let Some(known) = self.recent.get(&value) {
            return *known;
        }
        let ordinal = self.old.get(&value).copied().unwrap_or_else(|| {
            let new = self.next;
            self.next = self.next.wrapping_add(1);
            new
        });
        if self.recent.len() >= GENERATION {
            self.old = std::mem::take(&mut self.recent);
        }
        self.recent.insert(value, ordinal);
        ordinal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_ordinals_in_order_of_appearance() {
        let mut ordinals = CasOrdinals::default();
        let seen: Vec<u32> = [7, 9, 7, 1, 9]
            .into_iter()
            .map(|value| ordinals.ordinal(value))
            .collect();
        assert_eq!(seen, [0, 1, 0, 2, 1]);
    }

    #[test]
    fn a_value_survives_one_change_of_generation() {
        let mut ordinals = CasOrdinals::default();
        let first = ordinals.ordinal(u64::MAX);
        for value in 0..GENERATION as u64 {
            ordinals.ordinal(value);
        }
        assert_eq!(ordinals.ordinal(u64::MAX), first);
    }
}
