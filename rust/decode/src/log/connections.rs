//! memcached's file descriptors → connections. Each holds the look-up whose meaning its next line decides.

use std::collections::HashMap;
use std::net::IpAddr;

use membench_event::{CloseSide, ConnectionRow, Transport};

/// A look-up that may still turn out to be the first half of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    /// Time of the look-up, ns.
    pub time: u64,
    /// Id of the key.
    pub key: u64,
    /// Size of the key, bytes.
    pub key_size: u8,
    /// True if the key was found.
    pub found: bool,
    /// Size of the value found, bytes.
    pub size: Option<u32>,
    /// Time at which the line was read, ns.
    pub arrived: u64,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Ordinal of the connection.
    pub ordinal: u32,
    /// Number of requests so far.
    pub requests: u32,
    /// The latest look-up, if no other line followed it.
    pub pending: Option<Lookup>,
}

/// Address of a client; `None` for a local socket, and if it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(Option<IpAddr>);

impl Peer {
    /// Parses the text of an address; any other text is an unknown one.
    pub(super) fn parse(address: &[u8]) -> Self {
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
    /// The connection of lines that name none.
    unknown: Option<Connection>,
    rows: Vec<ConnectionRow>,
    clients: HashMap<Peer, u32>,
    /// Clients of connections that were opened before the log, by descriptor, as `stats conns` reports them.
    before: HashMap<u32, Peer>,
}

impl Connections {
    /// Notes from where a connection came that was there before.
    pub(super) fn note_before(&mut self, descriptor: u32, address: &str) {
        self.before
            .insert(descriptor, Peer::parse(address.as_bytes()));
    }

    /// Opens a connection. Returns the one that had the descriptor before, if its end was not seen.
    pub(super) fn open(&mut self, descriptor: u32, peer: Peer, time: u64) -> Option<Connection> {
        let earlier = self.close(descriptor, None, time);
        let connection = self.add(peer, Some(time));
        self.open.insert(descriptor, connection);
        earlier
    }

    /// Closes a connection and returns it.
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

    /// Returns the connection of a line, which is added if this is its first.
    pub(super) fn get_or_add(&mut self, descriptor: Option<u32>) -> &mut Connection {
        let known = match descriptor {
            Some(descriptor) => self.open.contains_key(&descriptor),
            None => self.unknown.is_some(),
        };
        if !known {
            self.add_unannounced(descriptor);
        }
        let connection = match descriptor {
            Some(descriptor) => self.open.get_mut(&descriptor),
            None => self.unknown.as_mut(),
        };
        connection.expect("it was added if it was missing")
    }

    /// Adds a connection whose opening was not seen.
    fn add_unannounced(&mut self, descriptor: Option<u32>) {
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

    /// Returns every open connection.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.open.values_mut().chain(self.unknown.as_mut())
    }

    /// Rows of the connection table, one per connection.
    pub(super) fn rows(&self) -> &[ConnectionRow] {
        &self.rows
    }

    /// Returns the number of connections so far, and of those that are open.
    pub(super) fn counts(&self) -> (usize, usize) {
        (
            self.rows.len(),
            self.open.len() + usize::from(self.unknown.is_some()),
        )
    }
}

/// Returns the side that closed a connection, by the reason that memcached logs.
pub(super) fn close_side(reason: &[u8]) -> Option<CloseSide> {
    match reason {
        b"normal" => Some(CloseSide::Client),
        b"idle_timeout" | b"shutdown" => Some(CloseSide::Server),
        _ => None,
    }
}
