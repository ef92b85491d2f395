//! Ends of connections: clients, the recorder's own connections, and connections that were open before the recording.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use membench_event::Transport;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Address of a TCP or UDP socket.
    Address(SocketAddr),
    /// Inode number of a UNIX-domain socket; most of them have no name.
    Inode(u64),
}

impl Peer {
    /// Turns an IPv6 address that maps an IPv4 address into that address.
    #[must_use]
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Address(address) => Self::Address(canonical(address)),
            Self::Inode(_) => self,
        }
    }

    /// Returns the IP address; `None` for a UNIX-domain socket.
    pub(crate) fn host(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address.ip()),
            Self::Inode(_) => None,
        }
    }

    /// Returns the transport of a stream with this end.
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Address(address) if address.is_ipv4() => Transport::Tcp4,
            Self::Address(_) => Transport::Tcp6,
            Self::Inode(_) => Transport::Unix,
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Local ends of the recorder's own connections, all in its network namespace. Their bytes are counted apart and make no
/// events. Clones share one set.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses(Arc<Mutex<HashSet<Peer>>>);

impl OwnAddresses {
    /// Adds the local end of a connection of ours.
    pub fn add(&self, peer: Peer) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(peer.canonical());
    }

    pub(crate) fn contains(&self, peer: Peer) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&peer)
    }
}

/// Connections that were open when the recording started.
#[derive(Clone, Debug, Default)]
pub struct OpenBefore {
    /// Clients of TCP connections, each with its network namespace.
    clients: HashSet<(u32, SocketAddr)>,
    /// Inode numbers of the servers' sockets of UNIX-domain connections.
    inodes: HashSet<u64>,
    /// Inode numbers of the network namespaces of which every connection is known.
    namespaces: HashSet<u32>,
    /// Time at which they were known, ns.
    time: u64,
}

impl OpenBefore {
    /// Creates the set from the clients of TCP connections, each with its network namespace, and the inode numbers of the
    /// servers' sockets of UNIX-domain connections.
    pub fn new(
        clients: impl IntoIterator<Item = (u32, SocketAddr)>,
        inodes: impl IntoIterator<Item = u64>,
    ) -> Self {
        let clients = clients.into_iter();
        Self {
            clients: clients
                .map(|(namespace, client)| (namespace, canonical(client)))
                .collect(),
            inodes: inodes.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Notes that every TCP connection of these network namespaces was known at `time`, ns.
    #[must_use]
    pub fn complete_at(self, time: u64, namespaces: impl IntoIterator<Item = u32>) -> Self {
        Self {
            namespaces: namespaces.into_iter().collect(),
            time,
            ..self
        }
    }

    /// Returns true if a TCP connection of a namespace whose first call was seen at `time`, ns, would be among these if it
    /// had been open before.
    pub(crate) fn is_complete(&self, namespace: u32, time: u64) -> bool {
        time > self.time && self.namespaces.contains(&namespace)
    }

    /// Returns true if the connection between these ends was open before, and removes it: its client's address may be
    /// used again.
    pub(crate) fn take(&mut self, namespace: u32, server: Peer, client: Peer) -> bool {
        match (server, client) {
            (Peer::Inode(server), _) => self.inodes.remove(&server),
            (_, Peer::Address(client)) => self.clients.remove(&(namespace, canonical(client))),
            (Peer::Address(_), Peer::Inode(_)) => false,
        }
    }
}
