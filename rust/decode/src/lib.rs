//! Segments → events: frames requests and responses, pairs them, and accounts for every byte.
//!
//! memcached answers every complete request before it reads from a connection again, with two exceptions: while it
//! reads a value, and after a read that filled the buffer in which it gathers a long multi-get. Every other read is
//! therefore a *barrier*: the answer to a request still open there was not seen. Pairing restarts at barriers, so one
//! mistake cannot shift the responses that follow.

#![forbid(unsafe_code)]

mod addresses;
mod cas;
mod connection;
mod context;
mod datagrams;
pub mod log;
mod matching;
mod numbering;
mod open_requests;
pub mod packet;
mod pairing;
mod pipelining;
pub mod privacy;
mod regular;
mod reply;
mod requests;
mod responses;
mod resync;
mod send_lengths;
mod table;
mod turn;
mod unread;

use std::collections::BTreeMap;

use membench_event::{Direction, Event, NumberMap, OptionsTable, Segment, Totals};

use crate::privacy::KeyHasher;

use connection::{Barriers, Connection};
use context::Context;
use datagrams::Datagrams;

pub use addresses::Addresses;
pub use numbering::Numbering;
pub use regular::open_file;
pub use table::Connections;

/// Part of the responses that a source delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responses {
    /// Nothing: outcomes and server times stay unknown.
    None,
    /// The length and time of each send.
    Lengths,
    /// The bytes that decide outcomes.
    Bytes,
}

impl Responses {
    /// The name used on the command line and in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lengths => "lengths",
            Self::Bytes => "bytes",
        }
    }
}

/// Decodes the segments of many connections into events.
///
/// A source opens a connection before it pushes the first segment and closes it after the last. An event appears once
/// its request is answered or its answer can no longer be seen: read [`events`](Self::events) after each segment, then
/// call [`clear_events`](Self::clear_events).
///
/// ```
/// use membench_decode::privacy::KeyHasher;
/// use membench_decode::{Decoder, Responses};
/// use membench_event::{Command, Direction, Outcome, Piece, Segment};
///
/// let mut decoder = Decoder::new(KeyHasher::random()?, Responses::Bytes, 0);
/// decoder.open(0, false);
///
/// let read = Segment {
///     connection: 0,
///     direction: Direction::Request,
///     offset: 0,
///     time: 1_000,
///     arrival: None,
///     filled: false,
///     call: 1,
///     pieces: &[Piece::Bytes(b"get a\r\n")],
/// };
/// decoder.push(&read, false);
/// assert!(decoder.events().is_empty(), "the answer is still due");
///
/// let send = Segment {
///     direction: Direction::Response,
///     time: 3_500,
///     pieces: &[Piece::Bytes(b"END\r\n")],
///     ..read
/// };
/// decoder.push(&send, false);
/// let event = decoder.events()[0];
/// assert_eq!((event.command, event.outcome), (Command::Get, Some(Outcome::Miss)));
/// assert_eq!(event.server_time, Some(2_500), "ns");
/// decoder.clear_events();
///
/// let totals = decoder.close(0).expect("connection 0 is open");
/// assert_eq!((totals.request.parsed, totals.response.parsed), (7, 5));
/// # Ok::<(), membench_decode::privacy::KeyError>(())
/// ```
pub struct Decoder {
    context: Context,
    /// Open connections, by ordinal.
    connections: NumberMap<u32, Box<Connection>>,
    /// Open peers of UDP servers, by ordinal.
    datagrams: BTreeMap<u32, Datagrams>,
}

impl Decoder {
    /// Creates a decoder that replaces keys by the ids of `hasher`.
    ///
    /// `utc_offset` is UTC minus the clock of segment times, ns; it makes absolute expiry times relative.
    pub fn new(hasher: KeyHasher, responses: Responses, utc_offset: i128) -> Self {
        Self {
            context: Context::new(hasher, responses, utc_offset),
            connections: NumberMap::default(),
            datagrams: BTreeMap::new(),
        }
    }

    /// Sets whether segments come from clients' sockets. A client may pipeline, so not every send of it proves that
    /// everything before was answered.
    #[must_use]
    pub fn client_side(mut self, client_side: bool) -> Self {
        self.context.client_side = client_side;
        self
    }

    /// Opens a connection. `mid_stream`: bytes moved on it before the first segment.
    pub fn open(&mut self, connection: u32, mid_stream: bool) {
        self.open_with(connection, mid_stream, Barriers::Reads);
    }

    /// Opens a connection of a source that does not see the server's reads, like packets. Its only barriers are those
    /// that the source announces with [`expect_barrier`](Self::expect_barrier).
    pub fn open_without_reads(&mut self, connection: u32, mid_stream: bool) {
        self.open_with(connection, mid_stream, Barriers::Announced(false));
    }

    fn open_with(&mut self, connection: u32, mid_stream: bool, barriers: Barriers) {
        let opened = Connection::new(connection, mid_stream, barriers);
        self.connections.insert(connection, Box::new(opened));
    }

    /// Makes the next request segment a barrier, on a connection opened without reads.
    pub fn expect_barrier(&mut self, connection: u32) {
        if let Some(open) = self.get_mut(connection) {
            open.expect_barrier();
        }
    }

    /// Returns true if responses of the connection are being paired. They are not between a loss and the next barrier.
    #[inline]
    pub fn paired(&self, connection: u32) -> bool {
        self.get(connection).is_some_and(Connection::paired)
    }

    /// Returns true if every request of the connection was answered completely.
    #[inline]
    pub fn settled(&self, connection: u32) -> bool {
        self.get(connection).is_some_and(Connection::settled)
    }

    /// Number of requests of the connection that await their response.
    #[inline]
    pub fn open_requests(&self, connection: u32) -> usize {
        self.get(connection).map_or(0, Connection::open_requests)
    }

    /// Gives up responses of the connection until its next barrier.
    pub fn give_up_responses(&mut self, connection: u32) {
        if let Some(open) = self.connections.get_mut(&connection) {
            open.give_up_responses(&mut self.context);
        }
    }

    fn get_mut(&mut self, connection: u32) -> Option<&mut Connection> {
        self.connections.get_mut(&connection).map(AsMut::as_mut)
    }

    fn get(&self, connection: u32) -> Option<&Connection> {
        self.connections.get(&connection).map(AsRef::as_ref)
    }

    /// Opens a connection of datagrams: all those between one peer and a server.
    pub fn open_datagrams(&mut self, connection: u32, server: u32) {
        let without_reads = self.context.client_side;
        self.insert_datagrams(connection, server, without_reads);
    }

    /// Opens a connection of datagrams of a source that does not see the server's reads: a request is done once it is
    /// answered.
    pub fn open_datagrams_without_reads(&mut self, connection: u32, server: u32) {
        self.insert_datagrams(connection, server, true);
    }

    fn insert_datagrams(&mut self, connection: u32, server: u32, without_reads: bool) {
        let datagrams = Datagrams::new(connection, server, without_reads);
        self.datagrams.insert(connection, datagrams);
    }

    /// Decodes one datagram of an open connection, frame header included. Returns the id of a request.
    pub fn push_datagram(&mut self, segment: &Segment<'_>) -> Option<u16> {
        let datagrams = self.datagrams.get_mut(&segment.connection)?;
        match segment.direction {
            Direction::Request => datagrams.request(&mut self.context, segment),
            Direction::Response => {
                datagrams.response(&mut self.context, segment);
                None
            }
        }
    }

    /// Finishes the datagram with this id: the server has sent every answer to it.
    pub fn finish_datagram(&mut self, connection: u32, id: u16) {
        if let Some(datagrams) = self.datagrams.get_mut(&connection) {
            datagrams.finish(&mut self.context, id);
        }
    }

    /// Assigns an open connection to a server. Connections belong to server 0 otherwise.
    pub fn assign(&mut self, connection: u32, server: u32) {
        if let Some(open) = self.get_mut(connection) {
            open.assign(server);
        }
    }

    /// Sets a server's version, which decides how it reads a line that it refuses.
    ///
    /// The decoder also learns it from answers to `version` and `stats`. Until it is known, a line that versions read
    /// differently suspends decoding of its connection up to the next read.
    pub fn learn_version(&mut self, server: u32, version: &str) {
        self.context.learn_version(server, version.as_bytes());
    }

    /// Decodes one segment of an open connection and returns the size of the gap before it, bytes.
    ///
    /// `missed`: no call was seen for the bytes of the gap; else the source saw and lost them. Segments of connections
    /// that are not open are ignored, since a source opens a connection before its first bytes.
    pub fn push(&mut self, segment: &Segment<'_>, missed: bool) -> u64 {
        let Some(connection) = self.connections.get_mut(&segment.connection) else {
            return 0;
        };
        match segment.direction {
            Direction::Request => connection.request(&mut self.context, segment, missed),
            Direction::Response => connection.response(&mut self.context, segment, missed),
        }
    }

    /// Sets the offset at which one direction of an open connection begins, before its first byte.
    pub fn begin_at(&mut self, connection: u32, direction: Direction, offset: u64) {
        if let Some(open) = self.get_mut(connection) {
            open.begin_at(direction, offset);
        }
    }

    /// Counts bytes that moved in one direction of an open connection after the last one pushed, and for which no call
    /// was seen.
    pub fn miss(&mut self, connection: u32, direction: Direction, bytes: u64) {
        if let Some(open) = self.connections.get_mut(&connection) {
            open.miss(&mut self.context, direction, bytes);
        }
    }

    /// Offset after the last byte pushed in one direction of an open connection.
    #[inline]
    pub fn end_of(&self, connection: u32, direction: Direction) -> u64 {
        self.get(connection).map_or(0, |open| open.end(direction))
    }

    /// Tells that the source starts to detach. From here on it may see reads without their answers, so reads count as
    /// boundary and make no events.
    pub fn start_detaching(&mut self) {
        self.context.is_detaching = true;
    }

    /// Counts the bytes from the last one pushed up to `end` as lost: the source saw the direction up to there. Returns
    /// their number.
    pub fn lose_tail(&mut self, connection: u32, direction: Direction, end: u64) -> u64 {
        self.connections
            .get_mut(&connection)
            .map_or(0, |open| open.lose_tail(&self.context, direction, end))
    }

    /// Closes a connection and returns its totals; incomplete messages count as boundary. Returns `None` if the
    /// connection is not open.
    pub fn close(&mut self, connection: u32) -> Option<Totals> {
        if let Some(ended) = self.datagrams.remove(&connection) {
            return Some(ended.close(&mut self.context));
        }
        let ended = self.connections.remove(&connection)?;
        Some(ended.close(&mut self.context))
    }

    /// Closes a connection as [`close`](Self::close) does, after the server has read to its end. It has sent every answer
    /// by then, so quiet requests still open have none.
    pub fn close_read_to_end(&mut self, connection: u32) -> Option<Totals> {
        if let Some(open) = self.connections.get_mut(&connection) {
            open.settle_rest(&mut self.context);
        }
        self.close(connection)
    }

    /// Totals of an open connection so far.
    pub fn totals(&self, connection: u32) -> Option<Totals> {
        if let Some(datagrams) = self.datagrams.get(&connection) {
            return Some(datagrams.totals());
        }
        self.get(connection).map(Connection::totals)
    }

    /// Ordinals of all open connections, those of datagrams last.
    pub fn open_connections(&self) -> Vec<u32> {
        let mut open: Vec<u32> = self.connections.keys().copied().collect();
        open.sort_unstable();
        open.extend(self.datagrams.keys());
        open
    }

    /// Events decoded since the last call to [`clear_events`](Self::clear_events).
    #[inline]
    pub fn events(&self) -> &[Event] {
        &self.context.events
    }

    /// Forgets all events. Their memory is reused.
    #[inline]
    pub fn clear_events(&mut self) {
        self.context.events.clear();
    }

    /// Servers that a client had set their own counters to 0 (`stats reset`).
    pub fn resets(&self) -> impl Iterator<Item = u32> {
        self.context.resets.iter().copied()
    }

    /// Bytes of responses that a server does not count in `bytes_written`: logs and dumps, which other threads than its
    /// workers write, and the answer to a client beyond its limit of connections. Always 0 without
    /// [`Responses::Bytes`].
    pub fn uncounted(&self, server: u32) -> u64 {
        self.context.uncounted.get(&server).copied().unwrap_or(0)
    }

    /// Number of requests whose options are kept in part only, because clients sent more different ones than are stored.
    pub fn options_cut(&self) -> u64 {
        self.context.options_cut
    }

    /// Options strings that events refer to.
    #[inline]
    pub fn options(&self) -> &OptionsTable {
        &self.context.options
    }
}

#[cfg(test)]
mod tests;
