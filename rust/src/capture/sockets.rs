//! Socket cookies → connections and servers: who talks to whom, as ordinals.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use membench_common::Socket;

use crate::decode::Totals;
use crate::profile::{CloseSide, ConnectionRow};
use crate::segment::Direction;

use super::ledger::{self, Flow, Server};
use super::peer::{self, AF_UNIX, OpenBefore, OwnAddresses, Peer};

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
    clients: HashMap<(u32, Option<IpAddr>), u32>,
    /// The followed paths, as sockets name them by index.
    paths: Vec<PathBuf>,
    servers: Vec<Server>,
    /// Bytes seen so far of each server, ours included.
    seen: Vec<Seen>,
    own: OwnAddresses,
    own_namespace: u32,
    open_before: OpenBefore,
    /// Which server each connection of ours turned out to reach.
    asked: HashMap<Peer, u32>,
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

    /// What the socket with this cookie is; none before it was announced.
    pub fn role(&self, cookie: u64) -> Option<Role> {
        self.open.get(&cookie).copied()
    }

    /// Takes a socket's announcement.
    pub fn announce(&mut self, cookie: u64, socket: &Socket, time: u64) -> Role {
        if let Some(known) = self.role(cookie) {
            return known;
        }
        let peer = Peer::of(socket);
        let role = if socket.namespace == self.own_namespace && self.own.contains(peer) {
            let server = self.server(socket);
            self.asked.insert(peer, server);
            Role::Own(server)
        } else {
            Role::Connection(self.connect(socket, peer, time))
        };
        self.open.insert(cookie, role);
        role
    }

    fn connect(&mut self, socket: &Socket, peer: Peer, time: u64) -> u32 {
        let before = self.open_before.take(socket, peer) || socket.mid_stream != 0;
        let connection = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        let next_client = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        let client = *self
            .clients
            .entry((socket.namespace, peer.host()))
            .or_insert(next_client);
        let server = self.server(socket);
        self.connections.push(ConnectionRow {
            connection,
            server,
            client,
            transport: peer.transport(),
            opened: (!before).then_some(time),
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
        let path = (socket.family == AF_UNIX)
            .then(|| self.paths.get(usize::from(socket.local_port)))
            .flatten()
            .map(|path| path.display().to_string());
        let port = if socket.family == AF_UNIX {
            0
        } else {
            socket.local_port
        };
        // Packets tell of no process: there the address has to.
        let address = (socket.pid == 0 && socket.family != AF_UNIX)
            .then(|| peer::address(socket.family, &socket.local));
        let known = self.servers.iter().find(|server| {
            server.pid == socket.pid
                && server.port == port
                && server.path == path
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
            port,
            path,
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

    /// The server that a connection of ours, with this local address, reached.
    pub fn asked(&self, own: Peer) -> Option<u32> {
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
    pub(super) fn add_to(&self, servers: &mut [Server], connection: u32, totals: &Totals) {
        if let Some(row) = self.connections.get(connection as usize) {
            ledger::add(servers, row.server, totals);
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::profile::Transport;

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
        own.add(Peer::Address(SocketAddr::from(([127, 0, 0, 9], 40_000))));
        let mut sockets = Sockets::new(own, 1, OpenBefore::default(), Vec::new());
        assert_eq!(sockets.announce(1, &socket(1, 11211, 9), 0), Role::Own(0));
        assert_eq!(
            sockets.announce(2, &socket(1, 11211, 8), 0),
            Role::Connection(0)
        );
        let elsewhere = Socket {
            namespace: 2,
            ..socket(1, 11211, 9)
        };
        assert_eq!(sockets.announce(3, &elsewhere, 0), Role::Connection(1));
        assert_eq!(sockets.counts(), (2, 2));
    }

    #[test]
    fn network_namespaces_keep_equal_addresses_apart() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let before = OpenBefore::new([(2, peer)], []);
        let mut sockets = Sockets::new(OwnAddresses::default(), 1, before, Vec::new());
        for (cookie, namespace) in [1, 2].into_iter().enumerate() {
            let socket = Socket {
                namespace,
                ..socket(1, 11211, 1)
            };
            sockets.announce(cookie as u64, &socket, 7);
        }
        let (connections, servers) = sockets.into_tables();
        assert_eq!(servers.len(), 2);
        let opened: Vec<Option<u64>> = connections.iter().map(|row| row.opened).collect();
        assert_eq!(opened, [Some(7), None]);
        assert_ne!(connections[0].client, connections[1].client);
    }

    #[test]
    fn an_address_mapped_from_ipv4_is_that_client_over_ipv4() {
        let mut sockets = Sockets::default();
        let mut mapped = socket(1, 11211, 0);
        mapped.family = 10;
        mapped.remote = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1];
        sockets.announce(1, &mapped, 0);
        sockets.announce(2, &socket(1, 11211, 1), 0);
        let (connections, _) = sockets.into_tables();
        assert_eq!(connections[0].client, connections[1].client);
        assert_eq!(connections[0].transport, Transport::Tcp4);
    }

    #[test]
    fn unix_domain_sockets_are_told_by_path_and_inode() {
        let own = OwnAddresses::default();
        own.add(Peer::Inode(77));
        let before = OpenBefore::new([], [12]);
        let mut sockets = Sockets::new(own, 1, before, vec!["/a".into(), "/b".into()]);
        let at = |path, inode: u64, peer: u64| Socket {
            family: AF_UNIX,
            local: zerocopy::transmute!([inode, 0]),
            remote: zerocopy::transmute!([peer, 0]),
            ..socket(1, path, 0)
        };
        let roles = [at(0, 11, 5), at(1, 12, 6), at(0, 13, 77)];
        let roles: Vec<Role> = (1..)
            .zip(&roles)
            .map(|(cookie, socket)| sockets.announce(cookie, socket, 7))
            .collect();
        assert_eq!(
            roles,
            [Role::Connection(0), Role::Connection(1), Role::Own(0)]
        );
        assert!(sockets.began_before(1, &at(1, 12, 6)));
        assert!(!sockets.began_before(0, &at(0, 11, 5)));
        let (connections, servers) = sockets.into_tables();
        let opened: Vec<Option<u64>> = connections.iter().map(|row| row.opened).collect();
        assert_eq!(opened, [Some(7), None]);
        assert_eq!(connections[0].transport, Transport::Unix);
        let paths: Vec<Option<&str>> = servers.iter().map(|one| one.path.as_deref()).collect();
        assert_eq!(paths, [Some("/a"), Some("/b")]);
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
