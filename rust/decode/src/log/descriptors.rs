//! memcached's file descriptors → connections. Each holds the look-up whose meaning its next line decides.

use std::collections::HashMap;
use std::net::IpAddr;

use membench_event::{CloseSide, Transport};

use crate::{Addresses, Connections, Numbering};

/// Clients in one generation of their numbering. Two generations bound it to about 30 MB.
const CLIENTS: usize = 1 << 18;
/// Connection of the events of connections outside the sample.
pub const LEFT_OUT: u32 = u32::MAX;

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

/// The connections of one server, by descriptor.
#[derive(Debug)]
pub(super) struct Descriptors {
    open: HashMap<u32, Connection>,
    /// The connection of lines that name none.
    unknown: Option<Connection>,
    table: Connections,
    clients: Numbering<Peer>,
    /// Memory of the clients' addresses, if they are to be shown.
    addresses: Option<Addresses>,
    /// Clients of connections that were opened before the log, by descriptor, as `stats conns` reports them.
    before: HashMap<u32, Peer>,
    /// N, if one connection in N is followed; 0 and 1 follow all.
    one_in: u32,
    /// Number of connections so far, followed or not.
    appeared: u64,
}

impl Default for Descriptors {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            unknown: None,
            table: Connections::default(),
            clients: Numbering::new(CLIENTS),
            addresses: None,
            before: HashMap::new(),
            one_in: 0,
            appeared: 0,
        }
    }
}

impl Descriptors {
    /// Follows one connection in `number` from here on.
    pub(super) fn follow_one_in(&mut self, number: u32) {
        self.one_in = number;
    }

    /// Remembers the clients' addresses in `addresses` from here on, if given.
    pub(super) fn remember(&mut self, addresses: Option<Addresses>) {
        self.addresses = addresses;
    }

    /// Notes the client of a connection that was opened before the log.
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
        if let Some(row) = self.table.get_mut(connection.ordinal) {
            row.closed = Some(time);
            row.close_side = side;
        }
        self.table.end(connection.ordinal);
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
        let number = self.appeared;
        self.appeared += 1;
        if !holds(self.one_in, number) {
            return Connection {
                ordinal: LEFT_OUT,
                requests: 0,
                pending: None,
            };
        }
        let client = self.clients.ordinal(peer);
        if let (Some(addresses), Some(address)) = (&self.addresses, peer.0) {
            addresses.note(client, address);
        }
        let ordinal = self.table.add(0, client, peer.transport(), opened);
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

    /// The table of the connections that are followed.
    pub(super) fn table(&self) -> &Connections {
        &self.table
    }

    /// The table of the connections that are followed, for changes.
    pub(super) fn table_mut(&mut self) -> &mut Connections {
        &mut self.table
    }
}

/// Returns true if the connection that appeared as the `number`th is followed. Mixing (the finisher of splitmix64) keeps
/// clients that open connections in turn from being all in or all out.
fn holds(one_in: u32, number: u64) -> bool {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31).is_multiple_of(u64::from(one_in.max(1)))
}

/// Returns the side that closed a connection, by the reason that memcached logs.
pub(super) fn close_side(reason: &[u8]) -> Option<CloseSide> {
    match reason {
        b"normal" => Some(CloseSide::Client),
        b"idle_timeout" | b"shutdown" => Some(CloseSide::Server),
        _ => None,
    }
}
