//! What the ring holds: a header, and behind it parts, a socket's identity or where it ended.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kinds of ring records, in [`Header::kind`].
pub mod kind {
    /// Bytes memcached read.
    pub const REQUEST: u32 = 1;
    /// Bytes memcached sent.
    pub const RESPONSE: u32 = 2;
    /// A socket's addresses: a [`super::Socket`] follows the header.
    pub const SOCKET: u32 = 3;
    /// A receive returned 0: the client has closed its side.
    pub const END: u32 = 4;
    /// The socket was closed (`inet_sock_set_state` to CLOSE).
    pub const CLOSE: u32 = 5;
    /// Bytes memcached read that filled the buffer they were read into.
    pub const REQUEST_FILLED: u32 = 6;
    /// A datagram memcached read, or the part of it in this record: a [`super::Datagram`] stands before the parts.
    pub const DATAGRAM_REQUEST: u32 = 7;
    /// A datagram memcached sent, likewise.
    pub const DATAGRAM_RESPONSE: u32 = 8;
    /// A datagram memcached read, likewise, and the peer is its own.
    pub const DATAGRAM_REQUEST_NAMED: u32 = 9;
}

/// The head of every ring record. For requests and responses `parts` [`Part`]s follow, each followed by its kept
/// bytes, padded to a multiple of 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Return of the call, CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// When the last of a request's bytes had arrived, CLOCK_MONOTONIC, ns; 0 where it is not known.
    pub arrival: u64,
    /// The socket: its cookie, unique on this machine until reboot; on tier T2 its inode number, which the kernel gives
    /// again only after 2^32 others.
    pub cookie: u64,
    /// Offset in this direction's stream of this record's first byte: the sum of all bytes seen before on this
    /// socket, missed bytes included, so that a hole in the record stream shows as a jump of exactly its size.
    pub offset: u64,
    /// Bytes of the stream that this record stands for: its parts' true lengths.
    pub length: u32,
    /// Bytes the whole call moved.
    pub call_length: u32,
    /// One of [`kind`].
    pub kind: u32,
    /// Number of parts that follow.
    pub parts: u32,
    /// Ordinal of the call on its socket and direction; the records of one call share it.
    pub call: u32,
    /// Why bytes of this direction were lost since its last record, or inside this one (a part that could not be
    /// read keeps nothing): a set of `1 << counter`, 0 when none were.
    pub lost: u32,
}

/// One contiguous buffer of a call, or the part of it in this record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Part {
    /// True length in the stream.
    pub length: u32,
    /// Bytes kept from its start; they follow, padded to a multiple of 8.
    pub head: u16,
    /// Bytes kept from its end; they follow the head directly.
    pub tail: u16,
}

/// A socket's identity, sent once, before its first bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// Network namespace's inode number.
    pub namespace: u32,
    /// Process that made the call, in the initial pid namespace.
    pub pid: u32,
    /// AF_INET (2), AF_INET6 (10) or AF_UNIX (1).
    pub family: u16,
    /// IPPROTO_TCP (6), IPPROTO_UDP (17) or IPPROTO_MPTCP (262).
    pub protocol: u16,
    /// Host byte order; of a UNIX-domain socket the index of its path.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// IPv4 in the first 4 bytes; of a UNIX-domain socket its inode number in the first 8, in host byte order.
    pub local: [u8; 16],
    /// The same of the peer.
    pub remote: [u8; 16],
    /// 1 when the socket was already connected before its first observed call, else 0: bytes had moved before. Of a
    /// UNIX-domain socket that is not known: 0.
    pub mid_stream: u32,
    /// Zero.
    pub padding: u32,
}

/// Whose datagram it is. The record's header has the offset in the datagram; the socket is the server's.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Datagram {
    /// A `struct sockaddr_in` or `sockaddr_in6`, zeros if there was none: of a response the peer. Of a request, where the
    /// tracepoint fires before the kernel tells it (T1), the peer of the request that this thread received before. Zeros
    /// at a client, whose socket tells it.
    pub name: [u8; 28],
    /// The thread that made the call, in the initial pid namespace.
    pub thread: u32,
}

/// Where a closed socket's streams ended. What was lost after a direction's last record shows here. The header's
/// offset and losses are 0.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Close {
    /// Bytes of requests seen, missed bytes included.
    pub request_offset: u64,
    /// The same of responses.
    pub response_offset: u64,
    /// Why bytes of requests were lost since their last record, as in [`Header::lost`].
    pub request_lost: u32,
    /// The same of responses.
    pub response_lost: u32,
}

const _: () = {
    assert!(
        size_of::<Header>() == 56
            && offset_of!(Header, length) == 32
            && offset_of!(Header, lost) == 52
    );
    assert!(size_of::<Datagram>() == 32 && offset_of!(Datagram, thread) == 28);
    assert!(size_of::<Part>() == 8 && offset_of!(Part, tail) == 6);
    assert!(size_of::<Socket>() == 56 && offset_of!(Socket, mid_stream) == 48);
    assert!(size_of::<Close>() == 24 && offset_of!(Close, response_lost) == 20);
};
