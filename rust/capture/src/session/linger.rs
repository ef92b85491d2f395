//! Connections that are closed while bytes from before may still be read: after a reset, or by a side that closed first.

use std::collections::{HashMap, VecDeque};

use membench_event::Direction;

/// Most connections that are waited for.
const MOST: usize = 4096;
/// Time for which a connection is waited for, ns.
const LONGEST: u64 = 1_000_000_000;

/// A closed connection that may still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) connection: u32,
    /// Time of closing, ns.
    pub(super) time: u64,
    /// Bytes of requests and of responses that had moved after the last call seen: its call was missed, unless another
    /// call follows.
    pub(super) after: [u64; 2],
}

/// Closed connections that may still be read, by their socket's cookie.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    connections: HashMap<u64, Closed>,
    /// Time of closing and cookie of each, the earliest first. Some are no longer waited for.
    closed: VecDeque<(u64, u64)>,
}

impl Lingering {
    /// Starts to wait for the rest of a connection.
    pub(super) fn add(&mut self, cookie: u64, closed: Closed) {
        self.connections.insert(cookie, closed);
        self.closed.push_back((closed.time, cookie));
    }

    /// Returns the connection, if it is waited for.
    pub(super) fn get(&self, cookie: u64) -> Option<u32> {
        let closed = self.connections.get(&cookie);
        closed.map(|closed| closed.connection)
    }

    /// Forgets the bytes that had moved after the last call in a direction, if the connection is waited for. Returns the
    /// connection, and how many they were.
    pub(super) fn note_call(&mut self, cookie: u64, direction: Direction) -> Option<(u32, u64)> {
        let closed = self.connections.get_mut(&cookie)?;
        let after = std::mem::take(&mut closed.after[direction as usize]);
        Some((closed.connection, after))
    }

    /// Stops waiting for the connection and returns it.
    pub(super) fn take(&mut self, cookie: u64) -> Option<Closed> {
        self.connections.remove(&cookie)
    }

    /// Stops waiting for the next connection that has been waited for long enough at `now`, ns, and returns it.
    pub(super) fn take_overdue(&mut self, now: u64) -> Option<Closed> {
        while let Some((closed, cookie)) = self.closed.front().copied() {
            if self.closed.len() <= MOST && now.saturating_sub(closed) < LONGEST {
                return None;
            }
            self.closed.pop_front();
            if let Some(closed) = self.take(cookie) {
                return Some(closed);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(connection: u32, time: u64) -> Closed {
        Closed {
            connection,
            time,
            after: [0; 2],
        }
    }

    #[test]
    fn a_connection_is_waited_for_until_it_is_taken_or_its_time_is_over() {
        let mut lingering = Lingering::default();
        for (cookie, connection) in [(7, 0), (8, 1), (9, 2)] {
            lingering.add(cookie, closed(connection, cookie));
        }
        assert_eq!(lingering.take(8), Some(closed(1, 8)));
        assert_eq!(lingering.take_overdue(LONGEST + 6), None);
        assert_eq!(lingering.take_overdue(LONGEST + 7), Some(closed(0, 7)));
        assert_eq!((lingering.get(7), lingering.get(9)), (None, Some(2)));
        assert_eq!(lingering.take_overdue(u64::MAX), Some(closed(2, 9)));
        assert_eq!(lingering.take_overdue(u64::MAX), None);
    }

    #[test]
    fn the_earliest_connection_goes_when_there_is_no_room() {
        let mut lingering = Lingering::default();
        for number in 0..=MOST as u64 {
            lingering.add(number, closed(u32::try_from(number).unwrap(), 0));
        }
        assert_eq!(lingering.take_overdue(0), Some(closed(0, 0)));
        assert_eq!(lingering.take_overdue(0), None);
    }
}
