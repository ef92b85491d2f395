//! Key ids → recently hashed keys, for the operator's own terminal: held in memory only, wiped on drop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

/// Number of slots. A key's id selects the slot, which remembers the last key hashed to it: nearly always the one in
/// frequent use.
const SLOTS: usize = 1 << 16;

/// Recently hashed keys. Clones share them.
#[derive(Clone)]
pub struct Names(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    slots: HashMap<usize, (u64, Zeroizing<Vec<u8>>)>,
    /// True once nothing is remembered any more.
    is_over: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Known::default())))
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Names")
    }
}

impl Names {
    /// Remembers a key in its slot, replacing the one there.
    pub(super) fn note(&self, id: u64, key: &[u8]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slot(id);
        if known.is_over {
            return;
        }
        if known.slots.get(&slot).is_none_or(|(there, _)| *there != id) {
            known.slots.insert(slot, (id, Zeroizing::new(key.to_vec())));
        }
    }

    /// Forgets every key, and remembers none from here on.
    pub fn forget(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.slots = HashMap::new();
        known.is_over = true;
    }

    /// Returns the key with this id, if it is remembered.
    pub fn get(&self, id: u64) -> Option<Zeroizing<Vec<u8>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (there, key) = known.slots.get(&slot(id))?;
        (*there == id).then(|| key.clone())
    }
}

fn slot(id: u64) -> usize {
    usize::try_from(id % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_key_of_a_slot_is_remembered() {
        let names = Names::default();
        names.note(5, b"five");
        names.note(6, b"six");
        names.note(5 + SLOTS as u64, b"another");
        let known = |id| names.get(id).map(|key| key.to_vec());
        assert_eq!(known(5), None);
        assert_eq!(known(6), Some(b"six".to_vec()));
        assert_eq!(known(5 + SLOTS as u64), Some(b"another".to_vec()));
        assert_eq!(format!("{names:?}"), "Names");
        names.forget();
        names.note(9, b"nine");
        let known = |id| names.get(id).map(|key| key.to_vec());
        assert_eq!((known(6), known(9)), (None, None));
    }
}
