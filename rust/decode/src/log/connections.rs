//! memcached's file descriptors → connections, each with the look-up whose meaning its next line settles.

use std::collections::HashMap;
use std::net::IpAddr;

use membench_event::{CloseSide, ConnectionRow, Transport};

/// A look-up that has not been told from the first half of a store yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    /// When, ns.
    pub time: u64,
    /// The key's id.
    pub key: u64,
    /// Bytes of the key.
    pub key_size: u8,
    /// Whether it was there.
    pub found: bool,
    /// Bytes of the value found.
    pub size: Option<u32>,
    /// When its line was read, ns.
    pub arrived: u64,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Its ordinal.
    pub ordinal: u32,
    /// How many requests it made.
    pub requests: u32,
    /// Its last look-up.
    pub pending: Option<Lookup>,
}

/// From where a connection came; none: from a local socket, or nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(Option<IpAddr>);

impl Peer {
    /// From the text of an address.
    pub(super) fn of(address: &[u8]) -> Self {
        let address = std::str::from_utf8(address).ok();
        let address = address.and_then(|text| text.parse::<IpAddr>().ok());
        Self(address.map(|address| address.to_canonical()))
    }

    fn transport(self) -> Transport {
        match self.0 {
            Some(IpAddr::V6(_)) => Transport::Tcp6,
            Some(IpAddr::V4(_)) | None => Transport::Tcp4,
        }
    }
}

/// The connections of one server.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: HashMap<u32, Connection>,
    /// Lines that name no connection are on this one.
    unknown: Option<Connection>,
    rows: Vec<ConnectionRow>,
    clients: HashMap<Peer, u32>,
    /// Connections that were there before, as `stats conns` named them.
    before: HashMap<u32, Peer>,
}

impl Connections {
    /// Notes from where a connection came that was there before.
    pub(super) fn note_before(&mut self, descriptor: u32, address: &str) {
        self.before.insert(descriptor, Peer::of(address.as_bytes()));
    }

    /// A client connected; a connection that had the descriptor before is handed back.
    pub(super) fn open(&mut self, descriptor: u32, peer: Peer, time: u64) -> Option<Connection> {
        let earlier = self.close(descriptor, None, time);
        let connection = self.add(peer, Some(time));
        self.open.insert(descriptor, connection);
        earlier
    }

    /// A connection ended: it is handed back.
    pub(super) fn close(
        &mut self,
        descriptor: u32,
        side: Option<CloseSide>,
        time: u64,
    ) -> Option<Connection> {
        self.before.remove(&descriptor);
        let connection = self.open.remove(&descriptor)?;
        if let Some(row) = self.rows.get_mut(connection.ordinal as usize) {
            row.closed = Some(time);
            row.close_side = side;
        }
        Some(connection)
    }

    /// The connection a line is about.
    pub(super) fn at(&mut self, descriptor: Option<u32>) -> &mut Connection {
        let known = match descriptor {
            Some(descriptor) => self.open.contains_key(&descriptor),
            None => self.unknown.is_some(),
        };
        if !known {
            self.meet(descriptor);
        }
        let connection = match descriptor {
            Some(descriptor) => self.open.get_mut(&descriptor),
            None => self.unknown.as_mut(),
        };
        connection.expect("it was met")
    }

    fn meet(&mut self, descriptor: Option<u32>) {
        let known = descriptor.and_then(|descriptor| self.before.remove(&descriptor));
        let connection = self.add(known.unwrap_or(Peer(None)), None);
        match descriptor {
            Some(descriptor) => drop(self.open.insert(descriptor, connection)),
            None => self.unknown = Some(connection),
        }
    }

    fn add(&mut self, peer: Peer, opened: Option<u64>) -> Connection {
        let ordinal = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let next = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        self.rows.push(ConnectionRow {
            connection: ordinal,
            server: 0,
            client: *self.clients.entry(peer).or_insert(next),
            transport: peer.transport(),
            opened,
            closed: None,
            close_side: None,
            lost_bytes: 0,
            resyncs: 0,
        });
        Connection {
            ordinal,
            requests: 0,
            pending: None,
        }
    }

    /// Every open connection.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.open.values_mut().chain(self.unknown.as_mut())
    }

    /// One row a connection.
    pub(super) fn rows(&self) -> &[ConnectionRow] {
        &self.rows
    }

    /// How many there were, and how many are open.
    pub(super) fn counts(&self) -> (usize, usize) {
        (
            self.rows.len(),
            self.open.len() + usize::from(self.unknown.is_some()),
        )
    }
}

/// Who ended a connection, from the reason memcached logs.
pub(super) fn close_side(reason: &[u8]) -> Option<CloseSide> {
    match reason {
        b"normal" => Some(CloseSide::Client),
        b"idle_timeout" | b"shutdown" => Some(CloseSide::Server),
        _ => None,
    }
}
