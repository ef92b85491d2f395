//! [`Generations`]: a map of bounded size that forgets what was not used for long.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

/// A map of two generations. Entries move to the recent one when they are used. Once that is full, it becomes the old one,
/// and the entries that were old are forgotten.
///
/// An entry is kept while fewer than `size` others are used; the map never holds more than twice as many.
///
/// ```
/// use membench_event::Generations;
///
/// let mut clients: Generations<u32, u32> = Generations::new(2);
/// for number in 0..5 {
///     clients.insert(number, number * 10);
///     assert_eq!(clients.get(&0), Some(0), "in use");
///     clients.turn_if_full();
/// }
/// assert_eq!(clients.get(&1), None);
/// ```
#[derive(Debug)]
pub struct Generations<K, V, S = RandomState> {
    recent: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
    size: usize,
}

impl<K: Hash + Eq + Clone, V: Copy, S: BuildHasher + Default> Generations<K, V, S> {
    /// Creates an empty map whose generations hold `size` entries.
    pub fn new(size: usize) -> Self {
        Self {
            recent: HashMap::default(),
            old: HashMap::default(),
            size,
        }
    }

    /// Returns the value of a key, which counts as a use.
    #[inline]
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(known) = self.recent.get(key) {
            return Some(*known);
        }
        let known = self.old.remove(key)?;
        self.recent.insert(key.clone(), known);
        Some(known)
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.recent.insert(key, value);
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.recent.remove(key).or_else(|| self.old.remove(key))
    }

    /// Starts a new generation if the recent one is full. Returns what is forgotten then.
    pub fn turn_if_full(&mut self) -> Option<HashMap<K, V, S>> {
        (self.recent.len() >= self.size)
            .then(|| std::mem::replace(&mut self.old, std::mem::take(&mut self.recent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_two_generations_is_forgotten_and_told() {
        let mut map: Generations<u32, u32> = Generations::new(3);
        let mut forgotten = Vec::new();
        for number in 0..30 {
            map.insert(number, number);
            assert_eq!(map.get(&7).is_some(), number >= 7);
            forgotten.extend(map.turn_if_full().into_iter().flatten());
            assert!(map.recent.len() + map.old.len() <= 6);
        }
        forgotten.sort_unstable();
        let forgotten: Vec<u32> = forgotten.into_iter().map(|(key, _)| key).collect();
        assert_eq!(forgotten[..7], [0, 1, 2, 3, 4, 5, 6]);
        assert!(!forgotten.contains(&7) && forgotten.len() >= 24);
        assert_eq!((map.remove(&29), map.remove(&29)), (Some(29), None));
    }
}
