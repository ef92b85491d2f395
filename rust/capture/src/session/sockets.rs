//! Cookies of sockets → connections, clients and servers, each by its ordinal.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use membench_event::{CloseSide, ConnectionRow, Direction, Flow, Server, Totals, Transport};

use super::announcement::{Announcement, Ends};
use super::peer::{OpenBefore, OwnAddresses, Peer};
use crate::Side;

/// The role of a socket, which says whose its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The connection with this ordinal.
    Connection(u32),
    /// A connection of the recorder itself to the server with this ordinal.
    Own(u32),
    /// The socket of the server with this ordinal for the datagrams of all peers.
    Datagrams(u32),
}

/// The registry of sockets: connections, clients and servers so far.
#[derive(Debug, Default)]
pub struct Sockets {
    side: Side,
    open: HashMap<u64, Role, BuildHasherDefault<CookieHasher>>,
    connections: Vec<ConnectionRow>,
    clients: HashMap<(u32, Option<IpAddr>), u32>,
    /// Connections of datagrams, by the socket's cookie and the peer.
    peers: HashMap<(u64, Option<SocketAddr>), u32>,
    /// Local addresses of clients' sockets for datagrams, by cookie.
    hosts: HashMap<u64, IpAddr>,
    /// The followed paths, which announcements name by index.
    paths: Vec<PathBuf>,
    servers: Vec<Server>,
    /// Bytes seen so far of each server, including those of our own connections.
    seen: Vec<Seen>,
    own: OwnAddresses,
    own_namespace: u32,
    open_before: OpenBefore,
    /// Server, and cookie of its socket, that each of our own connections reached, by the connection's local end.
    reached: HashMap<Peer, (u32, u64)>,
}

/// A fast hasher that spreads cookies. It need not resist attacks: only the kernel chooses cookies, by counting or from
/// addresses.
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

/// Sums of the bytes that a server was seen to move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes that it read.
    pub request: u64,
    /// Bytes that it sent.
    pub response: u64,
}

impl Sockets {
    /// Creates a registry of servers' sockets that knows the recorder's own connections, the connections that are open
    /// already, and the followed paths.
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

    /// Sets the side whose sockets are followed.
    #[must_use]
    pub fn with_side(self, side: Side) -> Self {
        Self { side, ..self }
    }

    /// The side whose sockets are followed.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Returns the role of a socket; `None` before it is announced and after it is closed.
    pub fn role(&self, cookie: u64) -> Option<Role> {
        self.open.get(&cookie).copied()
    }

    /// Announces a socket, unless it is known, and returns its role.
    pub fn announce(&mut self, cookie: u64, socket: &Announcement, time: u64) -> Role {
        if let Some(known) = self.role(cookie) {
            return known;
        }
        let client = socket.client(self.side).canonical();
        let role = if socket.is_udp {
            if self.side == Side::Client {
                self.hosts.extend(client.host().map(|host| (cookie, host)));
            }
            Role::Datagrams(self.server(socket))
        } else if socket.namespace == self.own_namespace && self.own.contains(client) {
            let server = self.server(socket);
            self.reached.insert(client, (server, cookie));
            Role::Own(server)
        } else {
            Role::Connection(self.connect(socket, client, time))
        };
        self.open.insert(cookie, role);
        role
    }

    fn connect(&mut self, socket: &Announcement, client: Peer, time: u64) -> u32 {
        let server = socket.server(self.side);
        let was_open = self.open_before.take(socket.namespace, server, client);
        let opened = (!was_open && !socket.mid_stream).then_some(time);
        let transport = client.transport();
        let client = self.client(socket.namespace, client.host());
        let server = self.server(socket);
        self.add(server, client, transport, opened)
    }

    /// Returns the connection of a datagram, and true if it is new. A server's socket has a connection for each peer; a
    /// client's socket has one.
    pub fn datagram_connection(
        &mut self,
        cookie: u64,
        server: u32,
        peer: Option<SocketAddr>,
        time: u64,
    ) -> (u32, bool) {
        if let Some(known) = self.peers.get(&(cookie, peer)) {
            return (*known, false);
        }
        let row = self.servers.get(server as usize);
        let namespace = row.map_or(0, |server| server.network_namespace);
        let host = self.hosts.get(&cookie).copied();
        let client = self.client(namespace, host.or(peer.map(|peer| peer.ip())));
        let connection = self.add(server, client, Transport::Udp, Some(time));
        self.peers.insert((cookie, peer), connection);
        (connection, true)
    }

    /// Forgets a peer of a socket for datagrams, and returns its connection. Its next datagram opens another one.
    pub(crate) fn forget_peer(&mut self, cookie: u64, peer: SocketAddr) -> Option<u32> {
        self.peers.remove(&(cookie, Some(peer)))
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

    /// Returns true if bytes may have moved on a connection before the first ones that were seen. A UNIX-domain socket
    /// does not show it itself.
    pub fn is_mid_stream(&self, connection: u32, socket: &Announcement) -> bool {
        let row = self.connections.get(connection as usize);
        let was_open = row.is_some_and(|row| row.opened.is_none());
        socket.mid_stream || matches!(socket.ends, Ends::Unix { .. }) && was_open
    }

    fn server(&mut self, socket: &Announcement) -> u32 {
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

    /// Returns the server of a socket, without its ordinal. Neither packets nor a client's socket show the server's
    /// process, so its address identifies it.
    fn describe(&self, socket: &Announcement) -> Server {
        // The process of a client's socket is the client.
        let pid = match self.side {
            Side::Server => socket.pid,
            Side::Client => 0,
        };
        let server = Server {
            pid,
            network_namespace: socket.namespace,
            ..Server::default()
        };
        match (socket.ends, self.side) {
            (Ends::Unix { path, .. }, _) => {
                let path = self.paths.get(usize::from(path));
                Server {
                    path: path.map(|path| path.display().to_string()),
                    ..server
                }
            }
            (Ends::Inet { remote, .. }, Side::Client) => Server {
                port: remote.port(),
                address: Some(remote.ip().to_canonical()),
                ..server
            },
            (Ends::Inet { local, .. }, Side::Server) => Server {
                port: local.port(),
                address: (pid == 0).then(|| local.ip()),
                ..server
            },
        }
    }

    /// Notes that a side has closed. The first to close is remembered.
    pub fn note_end(&mut self, cookie: u64, side: CloseSide) {
        if let Some(row) = self.row(cookie) {
            row.close_side.get_or_insert(side);
        }
    }

    /// Closes a socket, whose cookie is forgotten, and returns its role.
    pub fn close(&mut self, cookie: u64, time: u64) -> Option<Role> {
        let (near, _) = self.close_sides();
        if let Some(row) = self.row(cookie) {
            row.close_side.get_or_insert(near);
            row.closed = Some(time);
        }
        self.open.remove(&cookie)
    }

    /// Returns true if a receive has returned nothing, so that nothing is left to read: the other side closed first, or
    /// closed before everything was read.
    pub fn is_read_to_end(&self, connection: u32) -> bool {
        let (_, far) = self.close_sides();
        let row = self.connections.get(connection as usize);
        row.is_some_and(|row| row.close_side == Some(far))
    }

    /// Returns the side of the followed end, and that of the other.
    pub(crate) fn close_sides(&self) -> (CloseSide, CloseSide) {
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

    /// Counts bytes that a socket moved, and returns its server's sums.
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

    /// Returns the ordinal of a connection's server.
    pub fn server_of(&self, connection: u32) -> Option<u32> {
        self.connections
            .get(connection as usize)
            .map(|row| row.server)
    }

    /// Returns the server that our own connection from `own` reached, and the cookie of the server's socket.
    pub fn reached(&self, own: Peer) -> Option<(u32, u64)> {
        self.reached.get(&own.canonical()).copied()
    }

    /// Adds the totals of a decoded connection to its row and its server.
    pub fn settle(&mut self, connection: u32, totals: &Totals) {
        let Some(row) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let lost = |flow: &Flow| flow.unsynced + flow.truncated + flow.not_decoded + flow.missed;
        row.lost_bytes = lost(&totals.request) + lost(&totals.response);
        row.resyncs = totals.resyncs;
        add(&mut self.servers, row.server, totals);
    }

    /// Adds the totals of a connection that is still open to its server in `servers`, a copy of the table.
    pub(crate) fn add_totals(&self, servers: &mut [Server], connection: u32, totals: &Totals) {
        if let Some(row) = self.connections.get(connection as usize) {
            add(servers, row.server, totals);
        }
    }

    /// Returns the number of connections so far, and of those that are open.
    pub fn counts(&self) -> (usize, usize) {
        let own = self
            .open
            .values()
            .filter(|role| !matches!(role, Role::Connection(_)))
            .count();
        (self.connections.len(), self.open.len() - own)
    }

    /// Connections so far.
    pub fn connections(&self) -> &[ConnectionRow] {
        &self.connections
    }

    /// Servers so far.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the tables of connections and servers.
    pub fn into_tables(self) -> (Vec<ConnectionRow>, Vec<Server>) {
        (self.connections, self.servers)
    }
}

fn add(servers: &mut [Server], server: u32, totals: &Totals) {
    if let Some(server) = servers.get_mut(server as usize) {
        server.request.add(&totals.request);
        server.response.add(&totals.response);
    }
}

#[cfg(test)]
mod tests;
