//! The two ends of an announced socket → who the other end is, and whether it was there before.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use membench_common::Socket;
use membench_event::Transport;

use crate::Side;

/// The other end of a connection, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// By its address.
    Address(SocketAddr),
    /// By its socket's inode, of a UNIX-domain socket.
    Inode(u64),
}

/// The recorder's own connections, all in its network namespace: they are counted apart and make no events.
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

impl Peer {
    /// The client's end of an announced socket.
    pub(crate) fn client(socket: &Socket, side: Side) -> Self {
        match side {
            Side::Server => Self::of(socket.family, socket.remote, socket.remote_port),
            Side::Client => Self::of(socket.family, socket.local, socket.local_port),
        }
    }

    /// The address of a client's server.
    pub(crate) fn server(socket: &Socket) -> Option<IpAddr> {
        Self::of(socket.family, socket.remote, socket.remote_port).host()
    }

    fn of(family: u16, bytes: [u8; 16], port: u16) -> Self {
        if family == AF_UNIX {
            return Self::Inode(inode(&bytes));
        }
        Self::Address(SocketAddr::new(address(family, &bytes), port)).canonical()
    }

    /// An address mapped from IPv4 is the IPv4 address.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Address(address) => {
                Self::Address(SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            Self::Inode(_) => self,
        }
    }

    /// Its address without the port; none of UNIX-domain sockets, which are mostly nameless.
    pub(crate) fn host(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address.ip()),
            Self::Inode(_) => None,
        }
    }

    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Address(address) if address.is_ipv4() => Transport::Tcp4,
            Self::Address(_) => Transport::Tcp6,
            Self::Inode(_) => Transport::Unix,
        }
    }
}

pub(crate) const AF_UNIX: u16 = 1;
pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;

/// An address as announcements hold it.
pub(crate) fn address(family: u16, bytes: &[u8; 16]) -> IpAddr {
    if family == AF_INET {
        let [a, b, c, d, ..] = *bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes))
    }
}

fn inode(bytes: &[u8; 16]) -> u64 {
    let [number, _]: [u64; 2] = zerocopy::transmute!(*bytes);
    number
}

/// Connections that were open when the recording started.
#[derive(Clone, Debug, Default)]
pub struct OpenBefore {
    /// Their peers, each with its network namespace.
    peers: HashSet<(u32, SocketAddr)>,
    /// Inodes of the server's sockets of those over UNIX-domain sockets.
    inodes: HashSet<u64>,
}

impl OpenBefore {
    /// The peers of TCP connections, each with its network namespace, and the inodes of the others.
    pub fn new(
        peers: impl IntoIterator<Item = (u32, SocketAddr)>,
        inodes: impl IntoIterator<Item = u64>,
    ) -> Self {
        let canonical =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let peers = peers.into_iter();
        Self {
            peers: peers
                .map(|(namespace, peer)| (namespace, canonical(peer)))
                .collect(),
            inodes: inodes.into_iter().collect(),
        }
    }

    /// Whether this is one of them. A peer's address is used again later on: each is found once.
    pub(crate) fn take(&mut self, socket: &Socket, peer: Peer, side: Side) -> bool {
        let servers = match side {
            Side::Server => &socket.local,
            Side::Client => &socket.remote,
        };
        match peer {
            Peer::Address(address) => self.peers.remove(&(socket.namespace, address)),
            Peer::Inode(_) => self.inodes.remove(&inode(servers)),
        }
    }
}
