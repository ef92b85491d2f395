//! Connections that are closed while what came before may still be read: after a reset, or by a side that closed first.

use std::collections::{HashMap, VecDeque};

use membench_common::{Close, Header};
use membench_event::Direction;

use super::Session;
use crate::session::sockets::Role;

/// Most of them that are waited for,
const MOST: usize = 4096;
/// and how long, ns.
const LONGEST: u64 = 1_000_000_000;

/// Such connections, by their socket's cookie.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    connections: HashMap<u64, u32>,
    /// When each was closed, the earliest first; some are gone already.
    closed: VecDeque<(u64, u64)>,
}

impl Lingering {
    /// Waits for the rest of a connection that was closed at `time`, ns.
    pub(super) fn add(&mut self, cookie: u64, connection: u32, time: u64) {
        self.connections.insert(cookie, connection);
        self.closed.push_back((time, cookie));
    }

    /// The connection, if it is waited for.
    pub(super) fn get(&self, cookie: u64) -> Option<u32> {
        self.connections.get(&cookie).copied()
    }

    /// The connection, which is not waited for any longer.
    pub(super) fn take(&mut self, cookie: u64) -> Option<u32> {
        self.connections.remove(&cookie)
    }

    /// The next connection that has been waited for long enough at `now`, ns.
    pub(super) fn overdue(&mut self, now: u64) -> Option<u32> {
        while let Some((closed, cookie)) = self.closed.front().copied() {
            if self.closed.len() <= MOST && now.saturating_sub(closed) < LONGEST {
                return None;
            }
            self.closed.pop_front();
            if let Some(connection) = self.take(cookie) {
                return Some(connection);
            }
        }
        None
    }
}

impl Session {
    /// What came before a socket was closed can be read until a read returns nothing.
    pub(super) fn take_close(&mut self, header: &Header, close: &Close) {
        let Some(Role::Connection(connection)) = self.sockets.closed(header.cookie, header.time)
        else {
            return;
        };
        self.decoder
            .lose_tail(connection, Direction::Request, close.request_offset);
        self.decoder
            .lose_tail(connection, Direction::Response, close.response_offset);
        if self.sockets.is_read_to_its_end(connection) {
            self.close(connection);
        } else {
            self.lingering.add(header.cookie, connection, header.time);
            self.let_go(header.time);
        }
    }

    /// Settles this connection, if it is waited for.
    pub(super) fn let_go_of(&mut self, cookie: u64) {
        if let Some(connection) = self.lingering.take(cookie) {
            self.close(connection);
        }
    }

    /// Settles the closed connections that have been waited for long enough at `now`, ns.
    pub(crate) fn let_go(&mut self, now: u64) {
        while let Some(connection) = self.lingering.overdue(now) {
            self.close(connection);
        }
    }

    /// What the socket with this cookie is, or was until it was closed.
    pub(super) fn role(&self, cookie: u64) -> Option<Role> {
        let lingering = || self.lingering.get(cookie).map(Role::Connection);
        self.sockets.role(cookie).or_else(lingering)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_waited_for_until_it_is_taken_or_its_time_is_over() {
        let mut lingering = Lingering::default();
        for (cookie, connection) in [(7, 0), (8, 1), (9, 2)] {
            lingering.add(cookie, connection, cookie);
        }
        assert_eq!(lingering.take(8), Some(1));
        assert_eq!(lingering.overdue(LONGEST + 6), None);
        assert_eq!(lingering.overdue(LONGEST + 7), Some(0));
        assert_eq!((lingering.get(7), lingering.get(9)), (None, Some(2)));
        assert_eq!(lingering.overdue(u64::MAX), Some(2));
        assert_eq!(lingering.overdue(u64::MAX), None);
    }

    #[test]
    fn no_more_are_waited_for_than_there_is_room() {
        let mut lingering = Lingering::default();
        for number in 0..=MOST as u64 {
            lingering.add(number, u32::try_from(number).unwrap(), 0);
        }
        assert_eq!(lingering.overdue(0), Some(0));
        assert_eq!(lingering.overdue(0), None);
    }
}
