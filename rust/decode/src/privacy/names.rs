//! Key ids → keys that were hashed lately, for the operator's own terminal: in memory only, wiped when dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

/// Keys remembered by where their id falls: a key that is used often is nearly always the last there.
const SLOTS: usize = 1 << 16;

/// The latest keys. Clones share them.
#[derive(Clone)]
pub struct Names(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    slots: HashMap<usize, (u64, Zeroizing<Vec<u8>>)>,
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
    /// Remembers a key, in place of another one.
    pub(super) fn note(&self, id: u64, key: &[u8]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slot(id);
        if known.slots.get(&slot).is_none_or(|(there, _)| *there != id) {
            known.slots.insert(slot, (id, Zeroizing::new(key.to_vec())));
        }
    }

    /// The key with this id, if it is remembered.
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
    }
}
