//! A socket → whether it is followed, what is known about it, and what it lost.

use core::mem::size_of;

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use membench_common::{Header, Socket, counter, field, kind};

use crate::{
    filter,
    kernel::{self, Sock, Structure},
    maps::{self, Counters},
    messages::Place,
    record::zero,
    side,
    unix::{self, AF_UNIX},
};

pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_MPTCP: u16 = 262;
const SOCK_STREAM: u16 = 1;
const RCV_SHUTDOWN: u8 = 1;

/// What is known of one direction of a socket.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Stream {
    /// Bytes seen so far, missed ones included.
    pub offset: u64,
    /// Sequence number after the last byte seen, if `known`.
    sequence: u32,
    known: u32,
    /// Calls seen so far.
    pub call: u32,
    /// Causes of losses since the last record, as in `Header::lost`.
    pub lost: u32,
    /// Where a call with several messages is.
    pub place: Place,
}

/// What is known of a socket.
#[repr(C)]
pub struct State {
    /// 0 until the first call has been seen.
    pub cookie: u64,
    /// 1 once the socket's record is in the ring,
    announced: u32,
    /// and once the record of its end is.
    pub ended: u32,
    /// 1 if bytes had moved before the first call seen.
    mid_stream: u32,
    padding: u32,
    /// Where the server's own read buffer ends, as far as reads have shown.
    buffer_end: u64,
    /// When the socket had last dealt with a packet as the running receive began, ns; 0 between receives.
    pub dealt: u64,
    pub request: Stream,
    pub response: Stream,
}

impl Stream {
    /// Of which nothing has been seen.
    #[inline(always)]
    pub fn unseen() -> Self {
        Self {
            offset: zero(),
            sequence: zero() as u32,
            known: zero() as u32,
            call: zero() as u32,
            lost: zero() as u32,
            place: Place::none(),
        }
    }

    /// Counts bytes that no record will stand for.
    #[inline(always)]
    pub fn lose(&mut self, counters: Counters, cause: u32, bytes: u64) {
        counters.add(cause, bytes);
        self.offset += bytes;
        self.lost |= 1 << (cause & 31);
    }

    /// Compares where the call's bytes begin with where the last call's ended: bytes between were moved by something
    /// that passes no hook (splice, `TCP_ZEROCOPY_RECEIVE`) or while the program could not run. A step back is no loss:
    /// of two calls at once on one socket, the later may be seen first.
    #[inline(always)]
    fn follow_on(&mut self, counters: Counters, begin: u32, end: u32, finished: bool) {
        let missed = begin.wrapping_sub(self.sequence);
        let is_fin = missed == 1 && finished;
        if self.known != 0 && missed.cast_signed() > 0 && !is_fin {
            self.lose(counters, counter::MISSED, u64::from(missed));
        }
        self.sequence = end;
        self.known = 1;
    }
}

/// Whether a capture follows this socket's port or path, this call on it, and the sample it is of. Sockets of families
/// without ports have 0 there, which never is one.
#[inline(always)]
pub fn is_followed(sock: impl Sock) -> bool {
    (has_followed_port(sock) || sock.was_followed() || unix::path(sock).is_some())
        && filter::admits(sock)
}

/// The same of a TCP socket, which has no path: that of others is asked by a helper that Linux before 5.16 lacks.
#[inline(always)]
pub fn is_followed_tcp(sock: impl Sock) -> bool {
    has_followed_port(sock) && filter::admits(sock)
}

/// The port is the local one, the server's side of a connection, or the remote one, the client's.
#[inline(always)]
fn has_followed_port(sock: impl Sock) -> bool {
    kernel::is_followed(if side::is_client() {
        u16::from_be(sock.read(field::SOCK_REMOTE_PORT))
    } else {
        sock.read(field::SOCK_LOCAL_PORT)
    })
}

/// Inode number of the socket's network namespace.
#[inline(always)]
pub fn namespace(sock: impl Sock) -> u32 {
    sock.follow(field::SOCK_NAMESPACE)
        .map_or(0, |space| space.read(field::NAMESPACE_INODE))
}

/// Why a socket's bytes are counted only, or nothing for a TCP (or MPTCP) socket over IP and for a UNIX-domain stream.
/// Of datagrams, which have no streams, only those of system calls come here.
#[inline(always)]
pub fn unsupported(sock: impl Sock) -> Option<u32> {
    let family = sock.read::<u16>(field::SOCK_FAMILY);
    if family == AF_UNIX && sock.read::<u16>(field::SOCK_TYPE) == SOCK_STREAM {
        return None;
    }
    match sock.read::<u16>(field::SOCK_PROTOCOL) {
        _ if family != AF_INET && family != AF_INET6 => Some(counter::OTHER_FAMILY),
        IPPROTO_TCP | IPPROTO_MPTCP => None,
        IPPROTO_UDP => Some(counter::UDP),
        _ => Some(counter::OTHER_FAMILY),
    }
}

/// Whether it is a UNIX-domain socket.
#[inline(always)]
pub fn is_unix(sock: impl Sock) -> bool {
    sock.read::<u16>(field::SOCK_FAMILY) == AF_UNIX
}

/// Whether the peer has closed its side, and nothing more can be received.
#[inline(always)]
pub fn is_finished(sock: impl Sock) -> bool {
    sock.read::<u8>(field::SOCK_SHUTDOWN) & RCV_SHUTDOWN != 0
}

/// A supported socket's state; of another the call's `length` bytes are counted.
#[inline(always)]
pub fn state(sock: Structure, counters: Counters, length: u32) -> Option<&'static mut State> {
    let cause = match unsupported(sock) {
        Some(cause) => cause,
        None => match maps::state(sock) {
            // SAFETY: a map's value; the kernel keeps it while the program runs.
            Some(state) => return Some(unsafe { &mut *state }),
            None => counter::NO_STATE,
        },
    };
    counters.add(cause, u64::from(length));
    None
}

impl State {
    /// Of a socket of which nothing has been seen.
    #[inline(always)]
    pub fn unseen() -> Self {
        Self {
            cookie: zero(),
            announced: zero() as u32,
            ended: zero() as u32,
            mid_stream: zero() as u32,
            padding: zero() as u32,
            buffer_end: zero(),
            dealt: zero(),
            request: Stream::unseen(),
            response: Stream::unseen(),
        }
    }

    /// Whether a read of this capacity goes, for certain, into the server's own buffer, not straight into an item. memcached's buffer
    /// is a power of two long and, while it holds a part of a request, is read into behind that part: the end stays.
    /// When it grows it doubles, and the first read into the new half is a power of two again.
    /// <https://github.com/memcached/memcached/blob/1.6.18/memcached.c#L2426-L2501>
    #[inline(always)]
    pub fn note_buffer(&mut self, address: u64, capacity: u64) -> bool {
        let end = address.wrapping_add(capacity);
        if capacity & capacity.wrapping_sub(1) == 0 {
            self.buffer_end = end;
        }
        end == self.buffer_end
    }

    /// Notes that a receive returned `length` bytes: counts what was read since the last one without a call. A FIN
    /// that is consumed with data takes one sequence number.
    #[inline(always)]
    pub fn note_receive(&mut self, sock: impl Sock, counters: Counters, length: u32) {
        let Some(tcp) = self.begin(sock, length, 0) else {
            return;
        };
        let end = tcp.read::<u32>(field::TCP_COPIED);
        side::received(self).follow_on(counters, end.wrapping_sub(length), end, is_finished(sock));
    }

    /// Notes that a send took `length` bytes.
    #[inline(always)]
    pub fn note_send(&mut self, sock: impl Sock, counters: Counters, length: u32) {
        let Some(tcp) = self.begin(sock, 0, length) else {
            return;
        };
        let end = tcp.read::<u32>(field::TCP_WRITTEN);
        side::sent(self).follow_on(counters, end.wrapping_sub(length), end, false);
    }

    /// Makes sure that the cookie of a socket without streams is known.
    #[inline(always)]
    pub fn identify(&mut self, sock: impl Sock) {
        self.begin(sock, 0, 0);
    }

    /// The socket's TCP half; on the first call also the cookie and whether it is the first in the socket's life.
    #[inline(always)]
    fn begin<S: Sock>(&mut self, sock: S, received: u32, sent: u32) -> Option<S> {
        let tcp = sock.tcp();
        if self.cookie == 0 {
            self.cookie = sock.identity();
            self.mid_stream = u32::from(match tcp {
                Some(tcp) => has_moved(tcp, received, sent),
                None => sock.read::<u16>(field::SOCK_FAMILY) != AF_UNIX,
            });
        }
        tcp
    }

    /// Whether the socket's record is in the ring.
    #[inline(always)]
    pub fn is_announced(&self) -> bool {
        self.announced != 0
    }

    /// Puts the record of the stream's end into the ring; false if that fails.
    #[inline(always)]
    pub fn output_end(&mut self, counters: Counters, time: u64) -> bool {
        let Stream {
            offset, call, lost, ..
        } = *side::received(self);
        let header = Header {
            kind: kind::END,
            offset,
            call,
            lost,
            ..empty(self.cookie, time)
        };
        let done = maps::output((&raw const header).cast(), size_of::<Header>() as u64);
        counters.add(
            if done {
                counter::RECORDS
            } else {
                counter::RECORDS_RING_FULL
            },
            1,
        );
        done
    }

    /// Puts the socket's record into the ring, once; false while that fails.
    #[inline(always)]
    pub fn announce(&mut self, sock: impl Sock, counters: Counters, time: u64) -> bool {
        if self.announced == 0 && self.output_socket(sock, time) {
            counters.add(counter::RECORDS, 1);
            self.announced = 1;
        }
        if self.announced == 0 {
            counters.add(counter::RECORDS_RING_FULL, 1);
        }
        self.announced != 0
    }

    #[inline(always)]
    fn output_socket(&self, sock: impl Sock, time: u64) -> bool {
        let record = (
            Header {
                kind: kind::SOCKET,
                ..empty(self.cookie, time)
            },
            identity(sock, self.mid_stream),
        );
        maps::output(
            (&raw const record).cast(),
            size_of::<(Header, Socket)>() as u64,
        )
    }
}

/// A header with nothing behind it.
#[inline(always)]
pub fn empty(cookie: u64, time: u64) -> Header {
    Header {
        time,
        arrival: zero(),
        cookie,
        offset: zero(),
        length: zero() as u32,
        call_length: zero() as u32,
        kind: 0,
        parts: 0,
        call: 0,
        lost: 0,
    }
}

/// Whether the application had read or written before a call that moved these lengths. A socket's first sequence
/// numbers are not kept, but the kernel counts what it received and what was acknowledged since.
#[inline(always)]
fn has_moved(tcp: impl Sock, received: u32, sent: u32) -> bool {
    let begin = |next: usize, counted: usize| {
        tcp.read::<u32>(next)
            .wrapping_sub(tcp.read::<u64>(counted) as u32)
    };
    let read = tcp.read::<u32>(field::TCP_COPIED).wrapping_sub(received);
    // The side that opens has its SYN acknowledged, which is counted as a byte.
    let opened = u32::from(side::is_client());
    let written = tcp
        .read::<u32>(field::TCP_WRITTEN)
        .wrapping_sub(sent)
        .wrapping_sub(opened);
    read != begin(field::TCP_RECEIVED, field::TCP_BYTES_RECEIVED)
        || written != begin(field::TCP_UNACKNOWLEDGED, field::TCP_BYTES_ACKNOWLEDGED)
}

#[inline(always)]
fn identity(sock: impl Sock, mid_stream: u32) -> Socket {
    let family = sock.read::<u16>(field::SOCK_FAMILY);
    let (local, remote) = match family {
        AF_UNIX => {
            let [own, peer] = unix::inodes(sock);
            (
                zerocopy::transmute!([own, 0]),
                zerocopy::transmute!([peer, 0]),
            )
        }
        AF_INET6 => (
            wide_address(sock, field::SOCK_LOCAL6),
            wide_address(sock, field::SOCK_REMOTE6),
        ),
        _ => (
            address(sock, field::SOCK_LOCAL),
            address(sock, field::SOCK_REMOTE),
        ),
    };
    Socket {
        namespace: namespace(sock),
        // SAFETY: takes no arguments.
        pid: (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32,
        family,
        protocol: sock.read(field::SOCK_PROTOCOL),
        local_port: match family {
            AF_UNIX => unix::path(sock).unwrap_or(0),
            _ => sock.read(field::SOCK_LOCAL_PORT),
        },
        remote_port: u16::from_be(sock.read(field::SOCK_REMOTE_PORT)),
        local,
        remote,
        mid_stream,
        padding: 0,
    }
}

#[inline(always)]
fn address(sock: impl Sock, field: usize) -> [u8; 16] {
    let zero = zero() as u32;
    words([sock.read(field), zero, zero, zero])
}

#[inline(always)]
fn wide_address(sock: impl Sock, field: usize) -> [u8; 16] {
    words([
        sock.read_at(field, 0),
        sock.read_at(field, 1),
        sock.read_at(field, 2),
        sock.read_at(field, 3),
    ])
}

#[inline(always)]
fn words(words: [u32; 4]) -> [u8; 16] {
    zerocopy::transmute!(words)
}
