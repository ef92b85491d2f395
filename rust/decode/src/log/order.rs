//! Lines in order of arrival → lines in order of their gids, within a bounded window.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Most lines held back: more than 64 worker threads have in their log buffers of 64 KiB together.
const WINDOW: usize = 1 << 16;
/// Time for which a line waits for earlier ones, ns: memcached's log thread sleeps at most 1 s between two rounds.
pub(super) const PATIENCE: u64 = 1_200_000_000;

/// A buffer that puts lines in order. Gaps in the gids are waited out: those lines were skipped, or only other watchers
/// get them.
#[derive(Debug)]
pub(super) struct Order<T> {
    waiting: BinaryHeap<Waiting<T>>,
    next: Option<u64>,
    window: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    gid: u64,
    arrived: u64,
    item: T,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self {
            waiting: BinaryHeap::new(),
            next: None,
            window: WINDOW,
        }
    }
}

impl<T> Order<T> {
    /// Takes a line that arrived at `now`, ns on a clock that never goes back.
    pub(super) fn push(&mut self, gid: u64, now: u64, item: T) {
        self.waiting.push(Waiting {
            gid,
            arrived: now,
            item,
        });
    }

    /// Returns the next line in order, unless an earlier one may still come.
    pub(super) fn pop(&mut self, now: u64) -> Option<T> {
        let first = self.waiting.peek()?;
        let follows = self.next.is_some_and(|next| first.gid <= next);
        let overdue = now.saturating_sub(first.arrived) >= PATIENCE;
        if !(follows || overdue || self.waiting.len() > self.window) {
            return None;
        }
        self.pop_first()
    }

    /// Returns the earliest of the lines held back.
    pub(super) fn pop_first(&mut self) -> Option<T> {
        let Waiting { gid, item, .. } = self.waiting.pop()?;
        let next = gid.saturating_add(1);
        self.next = Some(self.next.map_or(next, |known| known.max(next)));
        Some(item)
    }
}

impl<T> Ord for Waiting<T> {
    /// Orders by descending gid: the heap yields the greatest first, which is then the earliest line.
    fn cmp(&self, other: &Self) -> Ordering {
        other.gid.cmp(&self.gid)
    }
}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Waiting<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(order: &mut Order<u64>, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| order.pop(now)).collect()
    }

    #[test]
    fn lines_of_several_threads_come_out_by_gid() {
        let mut order = Order::default();
        for gid in [4, 3, 6, 5] {
            order.push(gid, 0, gid);
        }
        assert!(released(&mut order, 0).is_empty());
        assert_eq!(released(&mut order, PATIENCE), [3, 4, 5, 6]);
        order.push(8, PATIENCE, 8);
        assert!(released(&mut order, PATIENCE).is_empty());
        order.push(7, PATIENCE, 7);
        assert_eq!(released(&mut order, PATIENCE), [7, 8]);
    }

    #[test]
    fn a_gap_is_waited_out_and_a_late_line_not_held() {
        let mut order = Order::default();
        order.push(1, 0, 1);
        order.push(5, 10, 5);
        assert_eq!(released(&mut order, PATIENCE), [1]);
        assert_eq!(released(&mut order, PATIENCE + 10), [5]);
        order.push(3, PATIENCE + 20, 3);
        assert_eq!(released(&mut order, PATIENCE + 20), [3]);
        order.push(6, PATIENCE + 30, 6);
        assert_eq!(released(&mut order, PATIENCE + 30), [6]);
    }

    #[test]
    fn a_full_window_lets_go_of_the_earliest() {
        let mut order = Order {
            window: 3,
            ..Order::default()
        };
        for gid in [9, 7, 5, 3] {
            order.push(gid, 0, gid);
        }
        assert_eq!(released(&mut order, 0), [3]);
        assert_eq!(order.waiting.len(), 3);
    }
}
