//! The edges of a connection → where its streams begin and end, what was missed there, and its totals.

use membench_common::{Close, Header};
use membench_event::{Direction, Totals};

use crate::session::Session;
use crate::session::linger::Closed;
use crate::session::sockets::Role;

/// Both directions, in the order in which `before` and `after` have them.
const DIRECTIONS: [Direction; 2] = [Direction::Request, Direction::Response];

impl Session {
    /// Begins a connection on which `before` bytes of requests and of responses had moved before the first call seen. If
    /// it was not open before the recording (`mid_stream`), their calls were missed.
    pub(super) fn begin_streams(
        &mut self,
        connection: u32,
        before: [u64; 2],
        mid_stream: bool,
        time: u64,
    ) {
        for (direction, before) in DIRECTIONS.into_iter().zip(before) {
            if mid_stream {
                self.decoder.begin_at(connection, direction, before);
            } else {
                self.sockets
                    .count(Role::Connection(connection), direction, before);
                self.miss(connection, direction, before, time);
            }
        }
    }

    /// Closes a socket. Unless it was read to its end, bytes from before may still be read.
    pub(super) fn take_close(&mut self, header: &Header, close: &Close) {
        let Some(Role::Connection(connection)) = self.sockets.close(header.cookie, header.time)
        else {
            return;
        };
        let closed = Closed {
            connection,
            time: header.time,
            after: [
                self.after(connection, Direction::Request, close),
                self.after(connection, Direction::Response, close),
            ],
        };
        self.lose_tail(connection, Direction::Request, close.request_offset);
        self.lose_tail(connection, Direction::Response, close.response_offset);
        // The server has counted them by now.
        for (direction, after) in DIRECTIONS.into_iter().zip(closed.after) {
            self.sockets
                .count(Role::Connection(connection), direction, after);
        }
        if self.sockets.is_read_to_end(connection) {
            self.miss_rest(closed);
            let totals = self.decoder.close_read_to_end(connection);
            self.note_closed(connection, totals);
        } else {
            self.lingering.add(header.cookie, closed);
            self.let_go(header.time);
        }
    }

    /// Returns how many of the bytes after the last call before a close are in no record. The call that moved them may have
    /// run on another CPU, and its record precede that of the close.
    fn after(&self, connection: u32, direction: Direction, close: &Close) -> u64 {
        let (after, end) = match direction {
            Direction::Request => (close.request_after, close.request_offset),
            Direction::Response => (close.response_after, close.response_offset),
        };
        let recorded = self.decoder.end_of(connection, direction);
        u64::from(after).saturating_sub(recorded.saturating_sub(end))
    }

    /// Counts what moved in one direction after the last record, up to `end`: it was lost.
    fn lose_tail(&mut self, connection: u32, direction: Direction, end: u64) {
        let lost = self.decoder.lose_tail(connection, direction, end);
        self.sockets
            .count(Role::Connection(connection), direction, lost);
    }

    /// Closes this connection, if it is waited for.
    pub(super) fn close_lingering(&mut self, cookie: u64) {
        if let Some(closed) = self.lingering.take(cookie) {
            self.close_at_last(closed);
        }
    }

    fn close_at_last(&mut self, closed: Closed) {
        self.miss_rest(closed);
        self.close(closed.connection);
    }

    /// Closes the connections whose last bytes have been waited for long enough at `now`, ns.
    pub(crate) fn let_go(&mut self, now: u64) {
        while let Some(closed) = self.lingering.take_overdue(now) {
            self.close_at_last(closed);
        }
    }

    pub(super) fn close(&mut self, connection: u32) {
        let totals = self.decoder.close(connection);
        self.note_closed(connection, totals);
    }

    fn note_closed(&mut self, connection: u32, totals: Option<Totals>) {
        if let Some(totals) = totals {
            self.sockets.settle(connection, &totals);
            self.totals.add(&totals);
        }
    }

    /// Notes a call of a connection that may be closed: what had moved after the last call was moved by this one. A gap
    /// before it would show in it.
    pub(super) fn note_call(&mut self, cookie: u64, direction: Direction) {
        if let Some((connection, after)) = self.lingering.note_call(cookie, direction) {
            self.sockets
                .discount(Role::Connection(connection), direction, after);
        }
    }

    /// Counts bytes of a connection that moved without a call that was seen as missed.
    fn miss(&mut self, connection: u32, direction: Direction, bytes: u64, time: u64) {
        if bytes == 0 {
            return;
        }
        self.decoder.miss(connection, direction, bytes);
        self.missed_at_edges += bytes;
        self.losses.list(time, connection, "missed", bytes);
    }

    fn miss_rest(&mut self, closed: Closed) {
        for (direction, after) in DIRECTIONS.into_iter().zip(closed.after) {
            self.miss(closed.connection, direction, after, closed.time);
        }
    }

    /// Number of bytes that moved before a connection's first call that was seen, or after its last.
    pub(crate) fn missed_at_edges(&self) -> u64 {
        self.missed_at_edges
    }
}
