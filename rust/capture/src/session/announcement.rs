//! A kernel record of a socket, or a connection found in packets → an [`Announcement`], which says who talks to whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use membench_common::Socket;

use super::peer::Peer;
use crate::Side;

const AF_UNIX: u16 = 1;
pub(super) const AF_INET: u16 = 2;
pub(super) const AF_INET6: u16 = 10;
const IPPROTO_UDP: u16 = 17;
/// Sockets of this protocol do not tell what has moved.
const IPPROTO_MPTCP: u16 = 262;

/// The facts of a socket that a source states before the socket's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The two ends of the socket.
    pub ends: Ends,
    /// True for a socket of datagrams.
    pub is_udp: bool,
    /// Inode number of the network namespace; 0 if unknown.
    pub namespace: u32,
    /// Process that holds the socket, in the initial pid namespace; 0 if unknown.
    pub pid: u32,
    /// True if bytes moved, or may have, before the first ones that were seen.
    pub mid_stream: bool,
    /// Bytes of requests and of responses that moved before, as far as the source tells; offsets begin there.
    pub before: [u64; 2],
}

/// The two ends of a socket. The local end is the one that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Addresses of a TCP or UDP socket.
    Inet {
        /// Address of the followed end.
        local: SocketAddr,
        /// Address of the other end.
        remote: SocketAddr,
    },
    /// Inode numbers of the sockets of a UNIX-domain connection.
    Unix {
        /// Index of the server's path among the followed paths.
        path: u16,
        /// Inode number of the followed end.
        local: u64,
        /// Inode number of the other end.
        remote: u64,
    },
}

impl Announcement {
    /// Announces a server's socket for datagrams that was found in packets.
    pub(crate) fn of_datagrams(namespace: u32, client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            is_udp: true,
            ..Self::from_packets(namespace, client, server, false)
        }
    }

    /// Announces a TCP connection that was found in packets. Packets name no process.
    pub(crate) fn from_packets(
        namespace: u32,
        client: SocketAddr,
        server: SocketAddr,
        mid_stream: bool,
    ) -> Self {
        Self {
            ends: Ends::Inet {
                local: server,
                remote: client,
            },
            is_udp: false,
            namespace,
            pid: 0,
            mid_stream,
            before: [0; 2],
        }
    }

    /// Returns the client's end, if sockets of `side` are followed.
    pub(crate) fn client(&self, side: Side) -> Peer {
        let [_, client] = self.server_and_client(side);
        client
    }

    /// Returns the server's end, if sockets of `side` are followed.
    pub(crate) fn server(&self, side: Side) -> Peer {
        let [server, _] = self.server_and_client(side);
        server
    }

    fn server_and_client(&self, side: Side) -> [Peer; 2] {
        let [near, far] = match self.ends {
            Ends::Inet { local, remote } => [local, remote].map(Peer::Address),
            Ends::Unix { local, remote, .. } => [local, remote].map(Peer::Inode),
        };
        match side {
            Side::Server => [near, far],
            Side::Client => [far, near],
        }
    }
}

impl From<&Socket> for Announcement {
    fn from(socket: &Socket) -> Self {
        let &Socket {
            namespace,
            pid,
            family,
            protocol,
            local_port,
            remote_port,
            local,
            remote,
            request_before,
            response_before,
        } = socket;
        let before = [request_before, response_before].map(u64::from);
        let ends = if family == AF_UNIX {
            Ends::Unix {
                path: local_port,
                local: inode(local),
                remote: inode(remote),
            }
        } else {
            Ends::Inet {
                local: SocketAddr::new(ip(family, local), local_port),
                remote: SocketAddr::new(ip(family, remote), remote_port),
            }
        };
        Self {
            ends,
            is_udp: protocol == IPPROTO_UDP,
            namespace,
            pid,
            mid_stream: protocol == IPPROTO_MPTCP || before != [0; 2],
            before,
        }
    }
}

fn ip(family: u16, bytes: [u8; 16]) -> IpAddr {
    if family == AF_INET {
        let [a, b, c, d, ..] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes))
    }
}

fn inode(bytes: [u8; 16]) -> u64 {
    let [number, _]: [u64; 2] = zerocopy::transmute!(bytes);
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a socket with these ends, each the first bytes of its field.
    fn record(family: u16, local: &[u8], remote: &[u8]) -> Socket {
        let field = |start: &[u8]| {
            let mut bytes = [0; 16];
            bytes[..start.len()].copy_from_slice(start);
            bytes
        };
        Socket {
            namespace: 3,
            pid: 4,
            family,
            protocol: 6,
            local_port: 11211,
            remote_port: 40_000,
            local: field(local),
            remote: field(remote),
            request_before: 12,
            response_before: 5,
        }
    }

    #[test]
    fn a_record_is_read_as_the_kernel_writes_it() {
        let announcement = Announcement::from(&record(AF_INET, &[127, 0, 0, 1], &[10, 0, 0, 2]));
        let expected = Announcement {
            ends: Ends::Inet {
                local: SocketAddr::from(([127, 0, 0, 1], 11211)),
                remote: SocketAddr::from(([10, 0, 0, 2], 40_000)),
            },
            is_udp: false,
            namespace: 3,
            pid: 4,
            mid_stream: true,
            before: [12, 5],
        };
        assert_eq!(announcement, expected);
        let (own, peer) = (77_u64.to_ne_bytes(), 78_u64.to_ne_bytes());
        let expected = Ends::Unix {
            path: 11211,
            local: 77,
            remote: 78,
        };
        assert_eq!(
            Announcement::from(&record(AF_UNIX, &own, &peer)).ends,
            expected
        );
        let datagrams = Socket {
            protocol: IPPROTO_UDP,
            ..record(AF_INET6, &[], &[])
        };
        assert!(Announcement::from(&datagrams).is_udp);
    }

    #[test]
    fn the_followed_side_decides_which_end_is_the_client() {
        let announcement = Announcement::from(&record(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 2]));
        let near = Peer::Address(SocketAddr::from(([10, 0, 0, 1], 11211)));
        let far = Peer::Address(SocketAddr::from(([10, 0, 0, 2], 40_000)));
        for (side, server, client) in [(Side::Server, near, far), (Side::Client, far, near)] {
            assert_eq!(announcement.server(side), server);
            assert_eq!(announcement.client(side), client);
        }
    }
}
