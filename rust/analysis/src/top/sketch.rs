//! A stream of ids → the most frequent ones, in constant memory and with a bounded error (Space-Saving).
//!
//! Metwally, Agrawal, El Abbadi: Efficient computation of frequent and top-k elements in data streams, ICDT 2005.

use std::collections::HashMap;

/// Counts the most frequent ids of a stream.
///
/// With room for `k` ids and `n` counted, an id's count is at least its true count and exceeds it by at most its
/// `error`, which is at most `n / k`. Every id that occurred more than `n / k` times is in the sketch.
#[derive(Clone, Debug)]
pub struct Sketch<T> {
    room: usize,
    total: u64,
    places: HashMap<u64, usize>,
    /// Binary heap with the lowest count first: no entry's count exceeds those of its two children.
    entries: Vec<Entry<T>>,
}

/// One id in the sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The id.
    pub id: u64,
    /// Upper bound of its occurrences.
    pub count: u64,
    /// Most by which `count` may be too high.
    pub error: u64,
    /// Notes that the caller has kept since the id entered the sketch.
    pub notes: T,
}

impl<T: Default + Clone> Sketch<T> {
    /// Creates a sketch with room for this many ids, at least one.
    pub fn new(room: usize) -> Self {
        let room = room.max(1);
        Self {
            room,
            total: 0,
            places: HashMap::with_capacity(room + 1),
            entries: Vec::with_capacity(room),
        }
    }

    /// Counts one occurrence of an id and returns its notes, for the caller to update.
    pub fn count(&mut self, id: u64) -> &mut T {
        self.total += 1;
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None => self.admit(id),
        };
        self.entries[place].count += 1;
        let place = self.sink(place);
        &mut self.entries[place].notes
    }

    /// Number of occurrences counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Upper bound of every `error`, and of the occurrences of any id that is not in the sketch.
    pub fn bound(&self) -> u64 {
        if self.entries.len() < self.room {
            return 0;
        }
        self.entries.first().map_or(0, |least| least.count)
    }

    /// Returns the ids with the highest counts, highest first.
    pub fn top(&self, most: usize) -> Vec<Entry<T>> {
        let mut entries = self.entries.clone();
        entries.sort_by_key(|entry| (std::cmp::Reverse(entry.count), entry.id));
        entries.truncate(most);
        entries
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.total = 0;
        self.places.clear();
        self.entries.clear();
    }

    /// Adds an id. If the sketch is full, it replaces the least frequent one and inherits its count as `error`.
    fn admit(&mut self, id: u64) -> usize {
        if self.entries.len() < self.room {
            self.entries.push(Entry {
                id,
                count: 0,
                error: 0,
                notes: T::default(),
            });
            let place = self.rise(self.entries.len() - 1);
            self.places.insert(id, place);
            return place;
        }
        let least = &mut self.entries[0];
        self.places.remove(&least.id);
        (least.id, least.error, least.notes) = (id, least.count, T::default());
        self.places.insert(id, 0);
        0
    }

    /// Moves an entry with a count of 0 up to its place in the heap.
    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.entries[above].count <= self.entries[place].count {
                break;
            }
            self.swap(above, place);
            place = above;
        }
        place
    }

    /// Moves an entry whose count has grown down to its place in the heap.
    fn sink(&mut self, mut place: usize) -> usize {
        loop {
            let below = [2 * place + 1, 2 * place + 2];
            let least = below
                .into_iter()
                .filter(|child| *child < self.entries.len())
                .min_by_key(|child| self.entries[*child].count);
            match least {
                Some(child) if self.entries[child].count < self.entries[place].count => {
                    self.swap(child, place);
                    place = child;
                }
                _ => return place,
            }
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.entries.swap(one, other);
        for place in [one, other] {
            self.places.insert(self.entries[place].id, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(stream: &[u64]) -> HashMap<u64, u64> {
        let mut counts = HashMap::new();
        for id in stream {
            *counts.entry(*id).or_default() += 1;
        }
        counts
    }

    fn sketch(stream: &[u64], room: usize) -> Sketch<u64> {
        let mut sketch = Sketch::new(room);
        for id in stream {
            *sketch.count(*id) += 1;
        }
        sketch
    }

    #[test]
    fn few_ids_are_counted_exactly() {
        let stream = [7, 7, 3, 7, 3, 9];
        let sketch = sketch(&stream, 4);
        let counts: Vec<_> = sketch
            .top(2)
            .iter()
            .map(|one| (one.id, one.count))
            .collect();
        assert_eq!((counts, sketch.bound()), (vec![(7, 3), (3, 2)], 0));
    }

    #[test]
    fn a_cleared_sketch_is_a_new_one() {
        let mut sketch = sketch(&[1, 2, 3], 2);
        sketch.clear();
        *sketch.count(5) += 1;
        assert_eq!(
            (sketch.total(), sketch.bound(), sketch.top(9).len()),
            (1, 0, 1)
        );
    }

    proptest! {
        #[test]
        fn counts_are_right_within_the_bound_and_frequent_ids_are_kept(
            stream in proptest::collection::vec(prop_oneof![2 => 0..5_u64, 1 => 0..200_u64], 1..2000),
            room in 1..50_usize,
        ) {
            let (exact, sketch) = (exact(&stream), sketch(&stream, room));
            let total = stream.len() as u64;
            prop_assert_eq!(sketch.total(), total);
            prop_assert!(sketch.bound() <= total / room as u64);
            let found: HashMap<_, _> =
                sketch.top(room).into_iter().map(|entry| (entry.id, entry)).collect();
            prop_assert!(found.len() <= room);
            for (id, entry) in &found {
                let wanted = exact[id];
                prop_assert!(entry.error <= sketch.bound());
                prop_assert!(entry.count >= wanted && entry.count - entry.error <= wanted);
                // Notes cover the time in the sketch: at most all occurrences, at least the certain ones.
                prop_assert!(entry.notes == entry.count - entry.error && entry.notes <= wanted);
            }
            for (id, count) in exact {
                prop_assert!(count <= sketch.bound() || found.contains_key(&id));
            }
        }
    }
}
