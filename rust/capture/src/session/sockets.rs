//! Cookies of sockets → connections, clients and servers, each by its ordinal.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use membench_decode::{Addresses, Connections, Numbering};
use membench_event::{
    CloseSide, ConnectionRow, Direction, Flow, Generations, NumberMap, Server, Totals, Transport,
};

use super::announcement::{Announcement, Ends};
use super::peer::{OpenBefore, OwnAddresses, Peer};
use crate::Side;

/// Clients in one generation of their numbering. Two generations bound it to about 30 MB.
const CLIENTS: usize = 1 << 18;
/// Peers in one generation of those that send datagrams. Every peer is a connection that never ends by itself.
const PEERS: usize = 8_192;
/// Most servers that are told apart. Packets and clients can name any address as a server's.
const SERVERS: usize = 4_096;

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
#[derive(Debug)]
pub struct Sockets {
    side: Side,
    open: NumberMap<u64, Role>,
    connections: Connections,
    clients: Numbering<(u32, Option<IpAddr>)>,
    /// Memory of the clients' addresses, if they are to be shown.
    addresses: Option<Addresses>,
    /// Connections of datagrams, by the socket's cookie and the peer.
    peers: Generations<(u64, Option<SocketAddr>), u32>,
    /// Local addresses of clients' sockets for datagrams, by cookie.
    hosts: HashMap<u64, IpAddr>,
    /// The followed paths, which announcements name by index.
    paths: Vec<PathBuf>,
    servers: Vec<Server>,
    /// Ordinals of the servers.
    known_servers: HashMap<Identity, u32>,
    /// Bytes seen so far of each server, including those of our own connections.
    seen: Vec<Seen>,
    own: OwnAddresses,
    own_namespace: u32,
    open_before: OpenBefore,
    /// First calls on connections that were not open before, though their sockets seem to have moved bytes: a FIN that
    /// comes before the first call counts as one there.
    first_calls: HashMap<u32, u64>,
    /// Number of connections that were opened and closed without a byte.
    silent: usize,
    /// Server, and cookie of its socket, that each of our own connections reached, by the connection's local end.
    reached: HashMap<Peer, (u32, u64)>,
}

/// Identity of a server: process, network namespace, port, index of its path, address.
type Identity = (u32, u32, u16, Option<u16>, Option<IpAddr>);

/// Sums of the bytes that a server was seen to move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes that it read.
    pub request: u64,
    /// Bytes that it sent.
    pub response: u64,
}

impl Seen {
    fn of(&mut self, direction: Direction) -> &mut u64 {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            side: Side::default(),
            open: NumberMap::default(),
            connections: Connections::default(),
            clients: Numbering::new(CLIENTS),
            addresses: None,
            peers: Generations::new(PEERS),
            hosts: HashMap::new(),
            paths: Vec::new(),
            servers: Vec::new(),
            known_servers: HashMap::new(),
            seen: Vec::new(),
            own: OwnAddresses::default(),
            own_namespace: 0,
            open_before: OpenBefore::default(),
            first_calls: HashMap::new(),
            silent: 0,
            reached: HashMap::new(),
        }
    }
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

    /// Remembers the clients' addresses in `addresses`, if given.
    #[must_use]
    pub fn with_addresses(self, addresses: Option<Addresses>) -> Self {
        Self { addresses, ..self }
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
        // Of a connection that was opened meanwhile, the first calls were missed. A client's first call may still run in
        // another thread.
        let is_new = self.side == Side::Server
            && socket.before != [0; 2]
            && self.open_before.is_complete(socket.namespace, time);
        let opened = (!was_open && (!socket.mid_stream || is_new)).then_some(time);
        let transport = client.transport();
        let client = self.client(socket.namespace, client.host());
        let server = self.server(socket);
        let connection = self.connections.add(server, client, transport, opened);
        if !was_open && opened.is_none() {
            self.first_calls.insert(connection, time);
        }
        connection
    }

    /// Returns the ordinal of a client, and remembers its address if that is to be shown.
    fn client(&mut self, namespace: u32, host: Option<IpAddr>) -> u32 {
        let client = self.clients.ordinal((namespace, host));
        if let (Some(addresses), Some(host)) = (&self.addresses, host) {
            addresses.note(client, host);
        }
        client
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
            return (known, false);
        }
        let row = self.servers.get(server as usize);
        let namespace = row.map_or(0, |server| server.network_namespace);
        let host = self.hosts.get(&cookie).copied();
        let host = host.or(peer.map(|peer| peer.ip()));
        let client = self.client(namespace, host);
        let opened = Some(time);
        let connection = self.connections.add(server, client, Transport::Udp, opened);
        self.peers.insert((cookie, peer), connection);
        (connection, true)
    }

    /// Forgets a peer of a socket for datagrams, and returns its connection. Its next datagram opens another one.
    pub(crate) fn forget_peer(&mut self, cookie: u64, peer: SocketAddr) -> Option<u32> {
        self.peers.remove(&(cookie, Some(peer)))
    }

    /// Forgets the peers that have been silent for longest if there are too many. Returns their connections; the next
    /// datagram of such a peer opens another one.
    pub(crate) fn forget_idle_peers(&mut self) -> Vec<u32> {
        let Some(idle) = self.peers.turn_if_full() else {
            return Vec::new();
        };
        if self.side == Side::Client {
            // Each of them is a socket, whose end the kernel does not tell.
            for (cookie, _) in idle.keys() {
                self.open.remove(cookie);
                self.hosts.remove(cookie);
            }
        }
        let mut connections: Vec<u32> = idle.into_values().collect();
        connections.sort_unstable();
        connections
    }

    /// Returns true if bytes may have moved on a connection before the first ones that were seen. A UNIX-domain socket
    /// does not show it itself.
    pub fn is_mid_stream(&self, connection: u32, socket: &Announcement) -> bool {
        let row = self.connections.get(connection);
        let was_open = row.is_some_and(|row| row.opened.is_none());
        was_open && (socket.mid_stream || matches!(socket.ends, Ends::Unix { .. }))
    }

    /// Returns the ordinal of a socket's server. Servers beyond the limit share the last one, which has no address.
    fn server(&mut self, socket: &Announcement) -> u32 {
        let mut wanted = self.describe(socket);
        let path = match socket.ends {
            Ends::Unix { path, .. } => Some(path),
            Ends::Inet { .. } => None,
        };
        let identity = |server: &Server| {
            let Server {
                pid,
                network_namespace,
                port,
                address,
                ..
            } = *server;
            (pid, network_namespace, port, path, address)
        };
        if let Some(known) = self.known_servers.get(&identity(&wanted)) {
            return *known;
        }
        if self.servers.len() >= SERVERS {
            return u32::try_from(self.servers.len() - 1).unwrap_or(u32::MAX);
        }
        let server = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        if self.servers.len() + 1 < SERVERS {
            self.known_servers.insert(identity(&wanted), server);
        } else {
            wanted = Server::default();
        }
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
        self.hosts.remove(&cookie);
        self.open.remove(&cookie)
    }

    /// Returns true if a receive has returned nothing, so that nothing is left to read: the other side closed first, or
    /// closed before everything was read.
    pub fn is_read_to_end(&self, connection: u32) -> bool {
        let (_, far) = self.close_sides();
        let row = self.connections.get(connection);
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
        self.connections.get_mut(connection)
    }

    /// Counts bytes that a socket moved, and returns its server's sums.
    pub fn count(&mut self, role: Role, direction: Direction, bytes: u64) -> Seen {
        let Some(seen) = self.seen_of(role) else {
            return Seen::default();
        };
        *seen.of(direction) += bytes;
        *seen
    }

    /// Takes back bytes that were counted and are about to be counted again.
    pub(crate) fn discount(&mut self, role: Role, direction: Direction, bytes: u64) {
        if let Some(seen) = self.seen_of(role) {
            let sum = seen.of(direction);
            *sum = sum.saturating_sub(bytes);
        }
    }

    fn seen_of(&mut self, role: Role) -> Option<&mut Seen> {
        let server = match role {
            Role::Own(server) | Role::Datagrams(server) => server,
            Role::Connection(connection) => self.server_of(connection)?,
        };
        self.seen.get_mut(server as usize)
    }

    /// Returns the ordinal of a connection's server.
    pub fn server_of(&self, connection: u32) -> Option<u32> {
        self.connections.get(connection).map(|row| row.server)
    }

    /// Returns the server that our own connection from `own` reached, and the cookie of the server's socket.
    pub fn reached(&self, own: Peer) -> Option<(u32, u64)> {
        self.reached.get(&own.canonical()).copied()
    }

    /// Adds the totals of a decoded connection to its row and its server, and ends it.
    pub fn settle(&mut self, connection: u32, totals: &Totals) {
        let Some(row) = self.connections.get_mut(connection) else {
            return;
        };
        let lost = |flow: &Flow| flow.unsynced + flow.truncated + flow.not_decoded + flow.missed;
        row.lost_bytes = lost(&totals.request) + lost(&totals.response);
        row.resyncs = totals.resyncs;
        let first_call = self.first_calls.remove(&connection);
        let moved = |flow: &Flow| flow.seen + flow.missed;
        if moved(&totals.request) + moved(&totals.response) == 0 {
            row.opened = row.opened.or(first_call);
            let is_closed = row.closed.is_some() || row.close_side.is_some();
            self.silent += usize::from(is_closed && row.opened.is_some());
        }
        add(&mut self.servers, row.server, totals);
        self.connections.end(connection);
    }

    /// Adds the totals of a connection that is still open to its server in `servers`, a copy of the table.
    pub(crate) fn add_totals(&self, servers: &mut [Server], connection: u32, totals: &Totals) {
        if let Some(row) = self.connections.get(connection) {
            add(servers, row.server, totals);
        }
    }

    /// Number of connections that were opened and closed without a byte, as health checks do.
    pub fn silent(&self) -> usize {
        self.silent
    }

    /// The table of connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The table of connections, for changes.
    pub(crate) fn connections_mut(&mut self) -> &mut Connections {
        &mut self.connections
    }

    /// Servers so far.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the tables of connections that were not taken yet, and of servers.
    pub fn into_tables(self) -> (Vec<ConnectionRow>, Vec<Server>) {
        (self.connections.rows(), self.servers)
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
