//! Segments → events: framing, pairing of responses with requests, and where every byte went.
//!
//! memcached answers every complete request before it reads that connection again, except while it is reading a
//! value, and when a read filled the buffer in which it gathers a long multi-get. So each other read is a barrier:
//! what is still open then was not seen answered,
//! and one mistake cannot shift the responses that follow.

mod cas;
mod connection;
mod context;
mod datagrams;
mod fits;
mod lengths;
pub mod log;
mod open;
pub mod packet;
mod pairing;
pub mod privacy;
mod reply;
mod requests;
mod responses;
mod start;
mod turns;

use std::collections::BTreeMap;

use crate::privacy::KeyHasher;
use membench_event::Totals;
use membench_event::{Direction, Segment};
use membench_event::{Event, OptionsTable};

use connection::{Barriers, Connection};
use context::Context;
use datagrams::Datagrams;

/// What a source delivers of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responses {
    /// Nothing: outcomes and server times stay unknown.
    None,
    /// The length and time of each send.
    Lengths,
    /// The bytes that outcomes need.
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

/// Turns the segments of many connections into events.
pub struct Decoder {
    context: Context,
    connections: Vec<Option<Box<Connection>>>,
    datagrams: BTreeMap<u32, Datagrams>,
}

impl Decoder {
    /// A decoder that names keys by `hasher`. `utc_offset` added to a segment's time gives UTC in ns: absolute expiry
    /// times are made relative with it.
    pub fn new(hasher: KeyHasher, responses: Responses, utc_offset: i128) -> Self {
        Self {
            context: Context::new(hasher, responses, utc_offset),
            connections: Vec::new(),
            datagrams: BTreeMap::new(),
        }
    }

    /// Whether segments come from clients' sockets: then a send is no sign that everything before was answered.
    #[must_use]
    pub fn of_clients(mut self, of_clients: bool) -> Self {
        self.context.of_clients = of_clients;
        self
    }

    /// Begins a connection. `mid_stream`: bytes had moved on it before the first that will be pushed.
    pub fn open(&mut self, connection: u32, mid_stream: bool) {
        self.open_with(connection, mid_stream, Barriers::Reads);
    }

    /// Begins a connection of a source that does not see the server's reads: barriers are where it says so.
    pub fn open_without_reads(&mut self, connection: u32, mid_stream: bool) {
        self.open_with(connection, mid_stream, Barriers::Told(false));
    }

    fn open_with(&mut self, connection: u32, mid_stream: bool, barriers: Barriers) {
        let index = connection as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.connections[index] = Some(Box::new(Connection::new(connection, mid_stream, barriers)));
    }

    /// The next request segment of a connection opened without reads is a barrier.
    pub fn expect_barrier(&mut self, connection: u32) {
        if let Some(open) = self.find(connection) {
            open.expect_barrier();
        }
    }

    /// Whether a connection's responses can be told apart: not between a loss and the next barrier.
    pub fn paired(&self, connection: u32) -> bool {
        self.get(connection).is_some_and(Connection::paired)
    }

    /// Whether every request of a connection was answered, whole.
    pub fn settled(&self, connection: u32) -> bool {
        self.get(connection).is_some_and(Connection::settled)
    }

    /// Requests of a connection that await their response.
    pub fn open_requests(&self, connection: u32) -> usize {
        self.get(connection).map_or(0, Connection::open_requests)
    }

    /// Gives up the responses of a connection up to its next barrier.
    pub fn give_up_responses(&mut self, connection: u32) {
        if let Some(Some(open)) = self.connections.get_mut(connection as usize) {
            open.give_up_responses(&mut self.context);
        }
    }

    fn find(&mut self, connection: u32) -> Option<&mut Connection> {
        self.connections
            .get_mut(connection as usize)?
            .as_deref_mut()
    }

    fn get(&self, connection: u32) -> Option<&Connection> {
        self.connections.get(connection as usize)?.as_deref()
    }

    /// Begins a connection of datagrams: those of one peer to a server.
    pub fn open_datagrams(&mut self, connection: u32, server: u32) {
        self.datagrams
            .insert(connection, Datagrams::new(connection, server));
    }

    /// Decodes one datagram of an open connection, frame header included; returns the id of a request.
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

    /// The server has sent every answer to the datagram with this id.
    pub fn finish_datagram(&mut self, connection: u32, id: u16) {
        if let Some(datagrams) = self.datagrams.get_mut(&connection) {
            datagrams.finish(&mut self.context, id);
        }
    }

    /// An open connection is to this server; unless said so, connections are to server 0.
    pub fn assign(&mut self, connection: u32, server: u32) {
        if let Some(Some(open)) = self.connections.get_mut(connection as usize) {
            open.assign(server);
        }
    }

    /// A server is of this version, which tells how it reads what it refuses. Decoding also learns it from the answers to
    /// `version` and `stats`; before it is known, a line that versions read differently ends decoding up to the next
    /// read.
    pub fn learn_version(&mut self, server: u32, version: &str) {
        self.context.learn_version(server, version.as_bytes());
    }

    /// Decodes one segment of an open connection; segments of unknown connections are ignored, for the source opens
    /// a connection before its first bytes. `missed`: a jump in the offset is bytes no call was seen for, else bytes
    /// that the source saw and lost. Returns the size of the jump.
    pub fn push(&mut self, segment: &Segment<'_>, missed: bool) -> u64 {
        let Some(Some(connection)) = self.connections.get_mut(segment.connection as usize) else {
            return 0;
        };
        match segment.direction {
            Direction::Request => connection.request(&mut self.context, segment, missed),
            Direction::Response => connection.response(&mut self.context, segment, missed),
        }
    }

    /// Where in its stream a direction of an open connection ends, as far as it was pushed.
    pub fn end_of(&self, connection: u32, direction: Direction) -> u64 {
        self.get(connection).map_or(0, |open| open.end(direction))
    }

    /// From here on the source may see reads whose answers it does not see: they are boundary.
    pub fn ending(&mut self) {
        self.context.is_ending = true;
    }

    /// The source saw a direction up to `end`: bytes behind the last one pushed are lost.
    pub fn lose_tail(&mut self, connection: u32, direction: Direction, end: u64) {
        if let Some(Some(connection)) = self.connections.get_mut(connection as usize) {
            connection.lose_tail(&self.context, direction, end);
        }
    }

    /// Ends a connection: what is unfinished becomes boundary. `none` when it is not open.
    pub fn close(&mut self, connection: u32) -> Option<Totals> {
        if let Some(ended) = self.datagrams.remove(&connection) {
            return Some(ended.close(&mut self.context));
        }
        let ended = self.connections.get_mut(connection as usize)?.take()?;
        Some(ended.close(&mut self.context))
    }

    /// What an open connection's decoding has found so far.
    pub fn totals(&self, connection: u32) -> Option<Totals> {
        if let Some(datagrams) = self.datagrams.get(&connection) {
            return Some(datagrams.totals());
        }
        self.connections
            .get(connection as usize)?
            .as_ref()
            .map(|open| open.totals())
    }

    /// Ordinals of the connections that are open.
    pub fn open_connections(&self) -> Vec<u32> {
        self.connections
            .iter()
            .flatten()
            .map(|open| open.ordinal())
            .chain(self.datagrams.keys().copied())
            .collect()
    }

    /// The events decoded since the last call to [`Decoder::clear_events`].
    pub fn events(&self) -> &[Event] {
        &self.context.events
    }

    /// Drops the events that are not to be kept; returns how many.
    pub fn retain_events(&mut self, keep: impl FnMut(&Event) -> bool) -> u64 {
        let before = self.context.events.len();
        self.context.events.retain(keep);
        (before - self.context.events.len()) as u64
    }

    /// Forgets the events; their room is kept.
    pub fn clear_events(&mut self) {
        self.context.events.clear();
    }

    /// The options strings that the events refer to.
    pub fn options(&self) -> &OptionsTable {
        &self.context.options
    }
}

#[cfg(test)]
mod tests;
