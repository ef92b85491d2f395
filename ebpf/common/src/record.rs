//! A record in the ring: a header, followed by parts, by a socket's identity or by its end.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kinds of ring records: values of [`Header::kind`].
pub mod kind {
    /// Bytes memcached read.
    pub const REQUEST: u32 = 1;
    /// Bytes memcached sent.
    pub const RESPONSE: u32 = 2;
    /// A socket's addresses: a [`super::Socket`] follows the header.
    pub const SOCKET: u32 = 3;
    /// A receive returned 0: the peer has closed its side.
    pub const END: u32 = 4;
    /// The socket was closed (`inet_sock_set_state` to CLOSE): a [`super::Close`] follows the header.
    pub const CLOSE: u32 = 5;
    /// Bytes memcached read that filled the buffer they were read into.
    pub const REQUEST_FILLED: u32 = 6;
    /// A datagram memcached read, or what this record holds of it. A [`super::Datagram`] precedes the parts. With the
    /// `sockets` hooks its peer is that of the datagram before.
    pub const DATAGRAM_REQUEST: u32 = 7;
    /// A datagram memcached sent, or what this record holds of it. A [`super::Datagram`] precedes the parts.
    pub const DATAGRAM_RESPONSE: u32 = 8;
    /// A datagram memcached read, as [`DATAGRAM_REQUEST`], but with its own peer.
    pub const DATAGRAM_REQUEST_NAMED: u32 = 9;
}

/// The head of every ring record. In requests and responses `parts` [`Part`]s follow, each followed by its kept bytes,
/// padded to a multiple of 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Time at which the call returned, CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Time at which the last of the call's bytes had arrived, CLOCK_MONOTONIC, ns; 0 if not known.
    pub arrival: u64,
    /// Identity of the socket: its cookie, unique on this machine until reboot. With the `syscalls` hooks its inode
    /// number, which the kernel reuses only after 2^32 others.
    pub cookie: u64,
    /// Offset of this record's first byte in its direction of the socket: all bytes that moved before, missed ones
    /// included. A gap in the records thus shows as a jump of exactly its size. See [`Socket::request_before`].
    pub offset: u64,
    /// Bytes of the stream that this record stands for: the sum of its parts' true lengths.
    pub length: u32,
    /// Bytes that the whole call moved.
    pub call_length: u32,
    /// One of [`kind`].
    pub kind: u32,
    /// Number of parts that follow.
    pub parts: u32,
    /// Ordinal of the call in its direction of the socket. The records of one call share it.
    pub call: u32,
    /// Causes of losses in this direction since its last record, and in this one, where a part that could not be read
    /// keeps nothing: a set of `1 << counter`, 0 if nothing was lost.
    pub lost: u32,
}

/// A contiguous buffer of a call, or what this record holds of it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Part {
    /// True length in the stream.
    pub length: u32,
    /// Bytes kept from the start, directly after the part.
    pub head: u16,
    /// Bytes kept from the end, directly after the head. Padding to a multiple of 8 follows.
    pub tail: u16,
}

/// A socket's identity, sent once, before its first bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// Inode number of the network namespace.
    pub namespace: u32,
    /// Process that made the call, in the initial pid namespace.
    pub pid: u32,
    /// AF_INET (2), AF_INET6 (10) or AF_UNIX (1).
    pub family: u16,
    /// IPPROTO_TCP (6), IPPROTO_UDP (17) or IPPROTO_MPTCP (262).
    pub protocol: u16,
    /// Local port, host byte order; for a UNIX-domain socket the index of its path.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// Local address: IPv4 in the first 4 bytes, or IPv6. For a UNIX-domain socket its inode number in the first 8
    /// bytes, host byte order.
    pub local: [u8; 16],
    /// Remote address, or the inode number of the peer, as in [`local`](Self::local).
    pub remote: [u8; 16],
    /// Bytes of requests that had moved before the first call seen, modulo 2^32: offsets of requests begin here. Only
    /// TCP tells; 0 for any other socket.
    pub request_before: u32,
    /// Bytes of responses that had moved before the first call seen.
    pub response_before: u32,
}

/// The peer of a datagram. The record's header has the offset in the datagram.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Datagram {
    /// The peer's address, a `struct sockaddr_in` or `sockaddr_in6`; zeros if the caller did not ask for it. In a
    /// [`kind::DATAGRAM_REQUEST`] of the `sockets` hooks, which fire before the kernel writes it, the peer of the
    /// request that this thread received before. Zeros at a client, whose socket has one peer.
    pub name: [u8; 28],
    /// Thread that made the call, in the initial pid namespace.
    pub thread: u32,
}

/// The end of a closed socket's streams. Shows what was lost after the last record of each direction. The header's
/// offset and losses are 0.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Close {
    /// Offset after the last byte of requests that was seen or missed.
    pub request_offset: u64,
    /// Offset after the last byte of responses that was seen or missed.
    pub response_offset: u64,
    /// Causes of losses in requests since their last record, as in [`Header::lost`].
    pub request_lost: u32,
    /// Causes of losses in responses since their last record, as in [`Header::lost`].
    pub response_lost: u32,
    /// Bytes of requests that moved after the last call seen: their call was missed, or still runs. Only TCP tells.
    pub request_after: u32,
    /// Bytes of responses that moved after the last call seen.
    pub response_after: u32,
}

const _: () = {
    assert!(
        size_of::<Header>() == 56
            && offset_of!(Header, length) == 32
            && offset_of!(Header, lost) == 52
    );
    assert!(size_of::<Datagram>() == 32 && offset_of!(Datagram, thread) == 28);
    assert!(size_of::<Part>() == 8 && offset_of!(Part, tail) == 6);
    assert!(size_of::<Socket>() == 56 && offset_of!(Socket, request_before) == 48);
    assert!(size_of::<Close>() == 32 && offset_of!(Close, response_after) == 28);
};
