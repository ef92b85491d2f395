//! Socket cookies → connections and servers: who talks to whom, as ordinals.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use membench_common::Socket;
use membench_event::{CloseSide, ConnectionRow, Direction, Flow, Server, Totals, Transport};

use crate::Side;
use crate::session::losses as ledger;
use crate::session::peer::{self, AF_UNIX, OpenBefore, OwnAddresses, Peer};

const IPPROTO_UDP: u16 = 17;

/// What a socket's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A connection, by its ordinal.
    Connection(u32),
    /// The recorder's own, to this server.
    Own(u32),
    /// This server's, for datagrams of any peer.
    Datagrams(u32),
}

/// The sockets seen so far.
#[derive(Debug, Default)]
pub struct Sockets {
    side: Side,
    open: HashMap<u64, Role, BuildHasherDefault<CookieHasher>>,
    connections: Vec<ConnectionRow>,
    clients: HashMap<(u32, Option<IpAddr>), u32>,
    /// Connections of datagrams, by the server's socket and the peer.
    peers: HashMap<(u64, Option<SocketAddr>), u32>,
    /// Of clients' sockets for datagrams: their own address.
    hosts: HashMap<u64, IpAddr>,
    /// The followed paths, as sockets name them by index.
    paths: Vec<PathBuf>,
    servers: Vec<Server>,
    /// Bytes seen so far of each server, ours included.
    seen: Vec<Seen>,
    own: OwnAddresses,
    own_namespace: u32,
    open_before: OpenBefore,
    /// Which server each connection of ours turned out to reach, and by which socket.
    asked: HashMap<Peer, (u32, u64)>,
}

/// Spreads cookies: the kernel counts them up or makes them of addresses, and nobody else chooses them.
#[derive(Debug, Default)]
struct CookieHasher(u64);

impl Hasher for CookieHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, cookie: u64) {
        let mixed = (self.0 ^ cookie).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
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
    /// A registry that knows the recorder's own connections, those that are open already, and the followed paths.
    pub fn new(
        own: OwnAddresses,
        own_namespace: u32,
        open_before: OpenBefore,
        paths: Vec<PathBuf>,
    ) -> Self {
        Self {
            paths,
            own,
            own_namespace,
            open_before,
            ..Self::default()
        }
    }

    /// The same for the sockets of one side.
    #[must_use]
    pub fn on(self, side: Side) -> Self {
        Self { side, ..self }
    }

    /// Which end of connections is followed.
    pub fn side(&self) -> Side {
        self.side
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
        let peer = Peer::client(socket, self.side);
        let role = if socket.protocol == IPPROTO_UDP {
            if self.side == Side::Client {
                self.hosts.extend(peer.host().map(|host| (cookie, host)));
            }
            Role::Datagrams(self.server(socket))
        } else if socket.namespace == self.own_namespace && self.own.contains(peer) {
            let server = self.server(socket);
            self.asked.insert(peer, (server, cookie));
            Role::Own(server)
        } else {
            Role::Connection(self.connect(socket, peer, time))
        };
        self.open.insert(cookie, role);
        role
    }

    fn connect(&mut self, socket: &Socket, peer: Peer, time: u64) -> u32 {
        let before = self.open_before.take(socket, peer, self.side) || socket.mid_stream != 0;
        let client = self.client(socket.namespace, peer.host());
        let server = self.server(socket);
        self.add(server, client, peer.transport(), (!before).then_some(time))
    }

    /// The connection of a peer's datagrams to a server's socket, or of a client's socket, which has one; and whether it
    /// is the first of them.
    pub fn of_datagram(
        &mut self,
        cookie: u64,
        server: u32,
        peer: Option<SocketAddr>,
        time: u64,
    ) -> (u32, bool) {
        if let Some(known) = self.peers.get(&(cookie, peer)) {
            return (*known, false);
        }
        let of_server = self.servers.get(server as usize);
        let namespace = of_server.map_or(0, |server| server.network_namespace);
        let host = self.hosts.get(&cookie).copied();
        let client = self.client(namespace, host.or(peer.map(|peer| peer.ip())));
        let connection = self.add(server, client, Transport::Udp, Some(time));
        self.peers.insert((cookie, peer), connection);
        (connection, true)
    }

    fn client(&mut self, namespace: u32, host: Option<IpAddr>) -> u32 {
        let next = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        *self.clients.entry((namespace, host)).or_insert(next)
    }

    fn add(&mut self, server: u32, client: u32, transport: Transport, opened: Option<u64>) -> u32 {
        let connection = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        self.connections.push(ConnectionRow {
            connection,
            server,
            client,
            transport,
            opened,
            closed: None,
            close_side: None,
            lost_bytes: 0,
            resyncs: 0,
        });
        connection
    }

    /// Whether bytes may have moved on a connection before its first that was seen.
    pub fn began_before(&self, connection: u32, socket: &Socket) -> bool {
        let row = self.connections.get(connection as usize);
        socket.mid_stream != 0
            || socket.family == AF_UNIX && row.is_some_and(|row| row.opened.is_none())
    }

    fn server(&mut self, socket: &Socket) -> u32 {
        let wanted = self.describe(socket);
        let known = self.servers.iter().find(|server| {
            server.pid == wanted.pid
                && server.port == wanted.port
                && server.path == wanted.path
                && server.address == wanted.address
                && server.network_namespace == wanted.network_namespace
        });
        if let Some(known) = known {
            return known.server;
        }
        let server = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        self.seen.push(Seen::default());
        self.servers.push(Server { server, ..wanted });
        server
    }

    /// A socket's server, but for its ordinal. Neither packets nor a client's socket tell its process: there the address
    /// has to.
    fn describe(&self, socket: &Socket) -> Server {
        let base = Server {
            network_namespace: socket.namespace,
            ..Server::default()
        };
        // A client's own process is not the server's.
        let pid = match self.side {
            Side::Server => socket.pid,
            Side::Client => 0,
        };
        if socket.family == AF_UNIX {
            let path = self.paths.get(usize::from(socket.local_port));
            return Server {
                path: path.map(|path| path.display().to_string()),
                pid,
                ..base
            };
        }
        if self.side == Side::Client {
            return Server {
                port: socket.remote_port,
                address: Peer::server(socket),
                ..base
            };
        }
        Server {
            port: socket.local_port,
            pid,
            address: (pid == 0).then(|| peer::address(socket.family, &socket.local)),
            ..base
        }
    }

    /// A side has closed: remembered if it is the first to.
    pub fn ended(&mut self, cookie: u64, side: CloseSide) {
        if let Some(row) = self.row(cookie) {
            row.close_side.get_or_insert(side);
        }
    }

    /// The socket was closed; its cookie is forgotten. Returns what it was.
    pub fn closed(&mut self, cookie: u64, time: u64) -> Option<Role> {
        let (near, _) = self.ends();
        if let Some(row) = self.row(cookie) {
            row.close_side.get_or_insert(near);
            row.closed = Some(time);
        }
        self.open.remove(&cookie)
    }

    /// Whether a receive has returned nothing on it: the other side had closed first, or before all was read.
    pub fn is_read_to_its_end(&self, connection: u32) -> bool {
        let (_, far) = self.ends();
        let row = self.connections.get(connection as usize);
        row.is_some_and(|row| row.close_side == Some(far))
    }

    /// Whose the followed end is, and the other.
    pub(crate) fn ends(&self) -> (CloseSide, CloseSide) {
        match self.side {
            Side::Server => (CloseSide::Server, CloseSide::Client),
            Side::Client => (CloseSide::Client, CloseSide::Server),
        }
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
            Role::Own(server) | Role::Datagrams(server) => Some(server),
            Role::Connection(connection) => self.server_of(connection),
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

    /// The server of a connection.
    pub fn server_of(&self, connection: u32) -> Option<u32> {
        self.connections
            .get(connection as usize)
            .map(|row| row.server)
    }

    /// The server that a connection of ours, with this local address, reached, and the cookie of its socket there.
    pub fn asked(&self, own: Peer) -> Option<(u32, u64)> {
        self.asked.get(&own.canonical()).copied()
    }

    /// Adds what decoding a connection found to its row and its server.
    pub fn settle(&mut self, connection: u32, totals: &Totals) {
        let Some(row) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let lost = |flow: &Flow| flow.unsynced + flow.truncated + flow.not_decoded + flow.missed;
        row.lost_bytes = lost(&totals.request) + lost(&totals.response);
        row.resyncs = totals.resyncs;
        ledger::add(&mut self.servers, row.server, totals);
    }

    /// Adds what decoding a connection found to its server among these.
    pub(crate) fn add_to(&self, servers: &mut [Server], connection: u32, totals: &Totals) {
        if let Some(row) = self.connections.get(connection as usize) {
            ledger::add(servers, row.server, totals);
        }
    }

    /// How many connections there were, and how many of them are open.
    pub fn counts(&self) -> (usize, usize) {
        let own = self
            .open
            .values()
            .filter(|role| !matches!(role, Role::Connection(_)))
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

#[cfg(test)]
mod tests;
