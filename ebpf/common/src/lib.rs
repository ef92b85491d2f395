//! What crosses from the kernel programs to user space: ring records, counters, and the names of load-time globals.
//!
//! Everything here is fixed-width and explicitly padded; both sides assert the layout below.
#![no_std]

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most payload bytes one ring record carries.
pub const RECORD_PAYLOAD: usize = 16 * 1024;
/// Most records one call becomes; bytes beyond are one hole, counted [`counter::RECORD_LIMIT`].
pub const RECORDS_PER_CALL: u32 = 5;
/// A read with at most this capacity is kept whole; memcached's read buffer is 16 KiB, doubled for long multi-gets.
pub const WHOLE_CAPACITY: u64 = 64 * 1024;
/// Of a larger read (straight into an item) the first bytes that are kept,
pub const HEAD: usize = 512;
/// and the last.
pub const TAIL: usize = 64;
/// Most bytes kept of one part of a response: a `VALUE` line with a 250-byte key fits.
pub const RESPONSE_PART: usize = 320;
/// Most listening ports one capture follows.
pub const PORTS: usize = 16;

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
}

/// The head of every ring record. For requests and responses `parts` [`Part`]s follow, each followed by its kept
/// bytes, padded to a multiple of 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Return of the call, CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Socket cookie: unique on this machine until reboot.
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
    /// Why bytes of this direction were lost since its last record: a set of `1 << counter`, 0 when none were.
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
    /// AF_INET (2) or AF_INET6 (10).
    pub family: u16,
    /// IPPROTO_TCP (6) or IPPROTO_MPTCP (262).
    pub protocol: u16,
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// IPv4 in the first 4 bytes.
    pub local: [u8; 16],
    /// IPv4 in the first 4 bytes.
    pub remote: [u8; 16],
    /// 1 when the socket was already connected before its first observed call, else 0: bytes had moved before.
    pub mid_stream: u32,
    /// Zero.
    pub padding: u32,
}

/// Indices of the counters, one u64 each, striped by CPU.
pub mod counter {
    /// Positive receives on matching sockets.
    pub const REQUEST_CALLS: u32 = 0;
    /// Their bytes: what memcached adds to `bytes_read`.
    pub const REQUEST_BYTES: u32 = 1;
    /// Positive sends on matching sockets.
    pub const RESPONSE_CALLS: u32 = 2;
    /// Their bytes: what memcached adds to `bytes_written`.
    pub const RESPONSE_BYTES: u32 = 3;
    /// Records that reached the ring.
    pub const RECORDS: u32 = 4;
    /// Records that did not: the ring was full.
    pub const RECORDS_RING_FULL: u32 = 5;
    /// Bytes lost to a full ring, requests and responses; from here to [`OTHER_FAMILY`] each is a loss term in bytes.
    pub const RING_FULL: u32 = 6;
    /// Bytes the TCP sequence shows were read without a call we saw.
    pub const MISSED: u32 = 7;
    /// Bytes of calls longer than [`super::RECORDS_PER_CALL`] records.
    pub const RECORD_LIMIT: u32 = 8;
    /// Bytes moved by a system call whose buffers are not located.
    pub const OTHER_SYSCALL: u32 = 9;
    /// Bytes moved by io_uring.
    pub const IO_URING: u32 = 10;
    /// Bytes moved by a kernel thread.
    pub const KERNEL_THREAD: u32 = 11;
    /// Bytes moved by a 32-bit task.
    pub const COMPAT_TASK: u32 = 12;
    /// Bytes whose buffer could not be read.
    pub const FAULT: u32 = 13;
    /// Bytes on sockets for which no state could be allocated.
    pub const NO_STATE: u32 = 14;
    /// Bytes of UDP datagrams.
    pub const UDP: u32 = 15;
    /// Bytes on sockets with a matching port number that are neither IPv4 nor IPv6.
    pub const OTHER_FAMILY: u32 = 16;
    /// How many there are.
    pub const COUNT: usize = 17;
    /// Room for them, a multiple of a cache line.
    pub const STRIDE: usize = 24;
}

const _: () = {
    assert!(
        size_of::<Header>() == 48
            && offset_of!(Header, length) == 24
            && offset_of!(Header, lost) == 44
    );
    assert!(size_of::<Part>() == 8 && offset_of!(Part, tail) == 6);
    assert!(size_of::<Socket>() == 56 && offset_of!(Socket, mid_stream) == 48);
    assert!(counter::COUNT <= counter::STRIDE);
};
