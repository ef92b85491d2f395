//! Socket cookies → connections and servers: who talks to whom, as ordinals.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use membench_common::Socket;

use crate::decode::Totals;
use crate::profile::{CloseSide, ConnectionRow, Transport};
use crate::segment::Direction;

use super::ledger::{Flow, Server};

/// Addresses of the recorder's own connections: they are counted apart and make no events.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses(Arc<Mutex<HashSet<SocketAddr>>>);

impl OwnAddresses {
    /// Adds the local address of a connection of ours.
    pub fn add(&self, address: SocketAddr) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(canonical(address));
    }

    fn contains(&self, address: SocketAddr) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&canonical(address))
    }
}

/// What a socket's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A connection, by its ordinal.
    Connection(u32),
    /// The recorder's own, to this server.
    Own(u32),
}

/// The sockets seen so far.
#[derive(Debug, Default)]
pub struct Sockets {
    open: HashMap<u64, Role>,
    connections: Vec<ConnectionRow>,
    clients: HashMap<(u32, IpAddr), u32>,
    servers: Vec<Server>,
    /// Bytes seen so far of each server, ours included.
    seen: Vec<Seen>,
    own: OwnAddresses,
    /// Peers of the connections that were open at the start.
    open_before: HashSet<SocketAddr>,
    /// Which server each connection of ours turned out to reach.
    asked: HashMap<SocketAddr, u32>,
}

/// Bytes a server has moved, as far as they were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Read.
    pub request: u64,
    /// Sent.
    pub response: u64,
}

impl Sockets {
    /// A registry that knows the recorder's own addresses, and the peers of connections that are open already.
    pub fn new(own: OwnAddresses, open_before: impl Iterator<Item = SocketAddr>) -> Self {
        Self {
            own,
            open_before: open_before.map(canonical).collect(),
            ..Self::default()
        }
    }

    /// What the socket with this cookie is; none before it was announced.
    pub fn role(&self, cookie: u64) -> Option<Role> {
        self.open.get(&cookie).copied()
    }

    /// Takes a socket's announcement.
    pub fn announce(&mut self, cookie: u64, socket: &Socket, time: u64) -> Role {
        if let Some(known) = self.role(cookie) {
            return known;
        }
        let remote = address(socket, &socket.remote, socket.remote_port);
        let role = if self.own.contains(remote) {
            let server = self.server(socket);
            self.asked.insert(canonical(remote), server);
            Role::Own(server)
        } else {
            Role::Connection(self.connect(socket, remote, time))
        };
        self.open.insert(cookie, role);
        role
    }

    fn connect(&mut self, socket: &Socket, remote: SocketAddr, time: u64) -> u32 {
        // A peer's address is used again later on: once it is taken, the next connection from it is a new one.
        let before = self.open_before.remove(&canonical(remote)) || socket.mid_stream != 0;
        let connection = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        let next_client = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        let client = *self
            .clients
            .entry((socket.namespace, remote.ip()))
            .or_insert(next_client);
        let server = self.server(socket);
        self.connections.push(ConnectionRow {
            connection,
            server,
            client,
            transport: if socket.family == 2 {
                Transport::Tcp4
            } else {
                Transport::Tcp6
            },
            opened: (!before).then_some(time),
            closed: None,
            close_side: None,
            lost_bytes: 0,
            resyncs: 0,
        });
        connection
    }

    fn server(&mut self, socket: &Socket) -> u32 {
        // Packets tell of no process: there the address has to.
        let local = address(socket, &socket.local, socket.local_port).ip();
        let address = (socket.pid == 0).then_some(local);
        let known = self.servers.iter().find(|server| {
            server.pid == socket.pid
                && server.port == socket.local_port
                && server.network_namespace == socket.namespace
                && server.address == address
        });
        if let Some(known) = known {
            return known.server;
        }
        let server = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        self.seen.push(Seen::default());
        self.servers.push(Server {
            server,
            port: socket.local_port,
            pid: socket.pid,
            network_namespace: socket.namespace,
            address,
            ..Server::default()
        });
        server
    }

    /// A side has closed: remembered if it is the first to.
    pub fn ended(&mut self, cookie: u64, side: CloseSide) {
        if let Some(row) = self.row(cookie) {
            row.close_side.get_or_insert(side);
        }
    }

    /// The socket was closed; its cookie is forgotten. Returns what it was.
    pub fn closed(&mut self, cookie: u64, time: u64) -> Option<Role> {
        if let Some(row) = self.row(cookie) {
            row.close_side.get_or_insert(CloseSide::Server);
            row.closed = Some(time);
        }
        self.open.remove(&cookie)
    }

    fn row(&mut self, cookie: u64) -> Option<&mut ConnectionRow> {
        let Role::Connection(connection) = self.role(cookie)? else {
            return None;
        };
        self.connections.get_mut(connection as usize)
    }

    /// Counts bytes a socket moved; returns its server's sums.
    pub fn count(&mut self, role: Role, direction: Direction, bytes: u64) -> Seen {
        let server = match role {
            Role::Own(server) => Some(server),
            Role::Connection(connection) => self
                .connections
                .get(connection as usize)
                .map(|row| row.server),
        };
        let Some(seen) = server.and_then(|server| self.seen.get_mut(server as usize)) else {
            return Seen::default();
        };
        match direction {
            Direction::Request => seen.request += bytes,
            Direction::Response => seen.response += bytes,
        }
        *seen
    }

    /// The server that a connection of ours, with this local address, reached.
    pub fn asked(&self, own: SocketAddr) -> Option<u32> {
        self.asked.get(&canonical(own)).copied()
    }

    /// Adds what decoding a connection found to its row and its server.
    pub fn settle(&mut self, connection: u32, totals: &Totals) {
        let Some(row) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let lost = |flow: &Flow| flow.unsynced + flow.truncated + flow.not_decoded + flow.missed;
        row.lost_bytes = lost(&totals.request) + lost(&totals.response);
        row.resyncs = totals.resyncs;
        if let Some(server) = self.servers.get_mut(row.server as usize) {
            server.request.add(&totals.request);
            server.response.add(&totals.response);
        }
    }

    /// How many connections there were, and how many of them are open.
    pub fn counts(&self) -> (usize, usize) {
        let own = self
            .open
            .values()
            .filter(|role| matches!(role, Role::Own(_)))
            .count();
        (self.connections.len(), self.open.len() - own)
    }

    /// The connections seen so far.
    pub fn connections(&self) -> &[ConnectionRow] {
        &self.connections
    }

    /// The servers seen so far.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The tables, at the end.
    pub fn into_tables(self) -> (Vec<ConnectionRow>, Vec<Server>) {
        (self.connections, self.servers)
    }
}

fn address(socket: &Socket, bytes: &[u8; 16], port: u16) -> SocketAddr {
    let ip = if socket.family == 2 {
        IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes))
    };
    SocketAddr::new(ip, port)
}

/// v4-mapped addresses and plain IPv4 ones are the same peer.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(pid: u32, port: u16, client: u8) -> Socket {
        let mut remote = [0; 16];
        remote[..4].copy_from_slice(&[127, 0, 0, client]);
        Socket {
            namespace: 1,
            pid,
            family: 2,
            protocol: 6,
            local_port: port,
            remote_port: 40_000,
            local: [0; 16],
            remote,
            mid_stream: 0,
            padding: 0,
        }
    }

    #[test]
    fn servers_are_told_apart_by_process_and_port() {
        let mut sockets = Sockets::default();
        for (cookie, (pid, port)) in [(1, 11211), (1, 11212), (2, 11211), (1, 11211)]
            .into_iter()
            .enumerate()
        {
            sockets.announce(cookie as u64, &socket(pid, port, 1), 0);
        }
        let (connections, servers) = sockets.into_tables();
        assert_eq!(servers.len(), 3);
        let of: Vec<u32> = connections.iter().map(|row| row.server).collect();
        assert_eq!(of, [0, 1, 2, 0]);
    }

    #[test]
    fn a_client_is_an_address_not_a_port() {
        let mut sockets = Sockets::default();
        for (cookie, client) in [1, 2, 1].into_iter().enumerate() {
            sockets.announce(cookie as u64, &socket(1, 11211, client), 0);
        }
        let (connections, _) = sockets.into_tables();
        let clients: Vec<u32> = connections.iter().map(|row| row.client).collect();
        assert_eq!(clients, [0, 1, 0]);
    }

    #[test]
    fn own_connections_are_not_connections() {
        let own = OwnAddresses::default();
        own.add(SocketAddr::from(([127, 0, 0, 9], 40_000)));
        let mut sockets = Sockets::new(own, std::iter::empty());
        assert_eq!(sockets.announce(1, &socket(1, 11211, 9), 0), Role::Own(0));
        assert_eq!(
            sockets.announce(2, &socket(1, 11211, 8), 0),
            Role::Connection(0)
        );
        assert_eq!(sockets.counts(), (1, 1));
    }

    #[test]
    fn who_closed_first_is_remembered() {
        let mut sockets = Sockets::default();
        sockets.announce(1, &socket(1, 11211, 1), 0);
        sockets.announce(2, &socket(1, 11211, 1), 0);
        sockets.ended(1, CloseSide::Client);
        sockets.closed(1, 5);
        sockets.closed(2, 6);
        let (connections, _) = sockets.into_tables();
        let sides: Vec<Option<CloseSide>> = connections.iter().map(|row| row.close_side).collect();
        assert_eq!(sides, [Some(CloseSide::Client), Some(CloseSide::Server)]);
    }
}
