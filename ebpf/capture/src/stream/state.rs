//! Calls on a socket → where its two streams are, and which bytes passed no hook.

use membench_bpf_lib::{
    abi::{AF_INET, AF_INET6, AF_UNIX, IPPROTO_MPTCP, IPPROTO_TCP, IPPROTO_UDP, SOCK_STREAM},
    counters::Counters,
    kernel::Sock,
    user::zero,
};
use membench_common::{Header, counter, field};

use crate::{follow, stream::place::Place};

/// One direction of a socket.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Stream {
    /// Bytes seen, missed ones included.
    pub offset: u64,
    /// Sequence number after the last byte seen, if `known`.
    sequence: u32,
    known: u32,
    /// Calls seen.
    pub call: u32,
    /// Causes of losses since the last record, as in `Header::lost`.
    pub lost: u32,
    /// Place in a call with several messages.
    pub place: Place,
}

/// A followed socket.
#[repr(C)]
pub struct State {
    /// Identity of the socket; 0 until its first call.
    pub cookie: u64,
    /// 1 once the socket's record is in the ring.
    pub announced: u32,
    /// 1 once the record of the end of the received stream is in the ring.
    pub ended: u32,
    /// 1 if bytes had moved before the first call seen.
    pub mid_stream: u32,
    padding: u32,
    /// Address at which the server's own read buffer ends, as far as reads have shown.
    buffer_end: u64,
    /// Time at which the socket had last dealt with a packet as the running receive began, ns; 0 between receives.
    pub dealt: u64,
    pub request: Stream,
    pub response: Stream,
}

impl Stream {
    /// Creates a stream without history.
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            offset: zero(),
            sequence: zero() as u32,
            known: zero() as u32,
            call: zero() as u32,
            lost: zero() as u32,
            place: Place::new(),
        }
    }

    /// Counts bytes that no record will stand for.
    #[inline(always)]
    pub fn lose(&mut self, counters: Counters, cause: u32, bytes: u64) {
        counters.add(cause, bytes);
        self.offset += bytes;
        self.lost |= 1 << (cause & 31);
    }

    /// True if the last byte seen is the last that TCP has numbered in `end`.
    #[inline(always)]
    fn has_reached(&self, sock: impl Sock, end: usize) -> bool {
        let end = sock.tcp().map(|tcp| tcp.read::<u32>(end));
        self.known != 0 && end == Some(self.sequence)
    }

    /// Compares where a call's bytes begin with where the last call's ended. Bytes between were moved by something that
    /// passes no hook (splice, `TCP_ZEROCOPY_RECEIVE`) or while the program could not run. A step back is no loss: of
    /// two concurrent calls on one socket, the later may be seen first.
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

impl State {
    /// Creates the state of a socket without history.
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            cookie: zero(),
            announced: zero() as u32,
            ended: zero() as u32,
            mid_stream: zero() as u32,
            padding: zero() as u32,
            buffer_end: zero(),
            dealt: zero(),
            request: Stream::new(),
            response: Stream::new(),
        }
    }

    /// Returns the stream that receives take from: a server receives requests, a client responses.
    #[inline(always)]
    pub fn received(&mut self) -> &mut Stream {
        if follow::is_client() {
            &mut self.response
        } else {
            &mut self.request
        }
    }

    /// Returns the stream that sends add to: a server sends responses, a client requests.
    #[inline(always)]
    pub fn sent(&mut self) -> &mut Stream {
        if follow::is_client() {
            &mut self.request
        } else {
            &mut self.response
        }
    }

    /// Creates a record header with nothing but the socket and the time.
    #[inline(always)]
    pub fn header(&self, time: u64) -> Header {
        Header {
            time,
            arrival: zero(),
            cookie: self.cookie,
            offset: zero(),
            length: zero() as u32,
            call_length: zero() as u32,
            kind: 0,
            parts: 0,
            call: 0,
            lost: 0,
        }
    }

    /// True if a read of this capacity certainly goes into the server's own buffer, not straight into an item.
    /// memcached's buffer is a power of two long. While it holds a part of a request, the next read begins after that
    /// part, so the end stays. The buffer grows by doubling, and the first read into the new half is a power of two
    /// again. <https://github.com/memcached/memcached/blob/1.6.18/memcached.c#L2426-L2501>
    #[inline(always)]
    pub fn note_buffer(&mut self, address: u64, capacity: u64) -> bool {
        let end = address.wrapping_add(capacity);
        if capacity & capacity.wrapping_sub(1) == 0 {
            self.buffer_end = end;
        }
        end == self.buffer_end
    }

    /// Notes that a receive returned `length` bytes, and counts what was read without a call since the last one. A FIN
    /// that is consumed with data takes one sequence number. Returns the socket's TCP half.
    #[inline(always)]
    pub fn note_receive<S: Sock>(&mut self, sock: S, counters: Counters, length: u32) -> Option<S> {
        let tcp = self.begin(sock, length, 0)?;
        let end = tcp.read::<u32>(field::TCP_COPIED);
        self.received()
            .follow_on(counters, end.wrapping_sub(length), end, sock.is_finished());
        Some(tcp)
    }

    /// Notes that a send took `length` bytes, and counts what was written without a call since the last one.
    #[inline(always)]
    pub fn note_send(&mut self, sock: impl Sock, counters: Counters, length: u32) {
        let Some(tcp) = self.begin(sock, 0, length) else {
            return;
        };
        let end = tcp.read::<u32>(field::TCP_WRITTEN);
        self.sent()
            .follow_on(counters, end.wrapping_sub(length), end, false);
    }

    /// True if the last receive is noted.
    #[inline(always)]
    pub fn has_noted_receive(&mut self, sock: impl Sock) -> bool {
        self.received().has_reached(sock, field::TCP_COPIED)
    }

    /// True if the last send is noted.
    #[inline(always)]
    pub fn has_noted_send(&mut self, sock: impl Sock) -> bool {
        self.sent().has_reached(sock, field::TCP_WRITTEN)
    }

    /// Makes sure that the cookie of a socket without streams is known.
    #[inline(always)]
    pub fn identify(&mut self, sock: impl Sock) {
        self.begin(sock, 0, 0);
    }

    /// Returns the socket's TCP half. On the first call, also notes the cookie and whether bytes had moved before.
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

    /// At the first call in a receive, notes when the socket last dealt with a packet.
    #[inline(always)]
    pub fn note_packet(&mut self, sock: impl Sock) -> Option<()> {
        if self.dealt == 0 {
            self.dealt = sock.tcp()?.read(field::TCP_CLOCK);
        }
        Some(())
    }
}

/// Returns the counter that says why a socket's bytes are in no stream; `None` for TCP or MPTCP over IP and for
/// UNIX-domain streams.
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

/// True if the application had read or written before a call that moved these lengths. The kernel does not keep a
/// socket's first sequence numbers, but counts what was received and what was acknowledged since. A FIN that was read,
/// too, has a number of its own.
#[inline(always)]
fn has_moved(tcp: impl Sock, received: u32, sent: u32) -> bool {
    let begin = |next: usize, counted: usize| {
        tcp.read::<u32>(next)
            .wrapping_sub(tcp.read::<u64>(counted) as u32)
    };
    let copied = tcp.read::<u32>(field::TCP_COPIED);
    let read = copied
        .wrapping_sub(received)
        .wrapping_sub(begin(field::TCP_RECEIVED, field::TCP_BYTES_RECEIVED));
    let is_fin = read == 1 && tcp.is_finished() && copied == tcp.read(field::TCP_RECEIVED);
    // The side that connects has its SYN acknowledged, which counts as a byte.
    let opened = u32::from(follow::is_client());
    let written = tcp
        .read::<u32>(field::TCP_WRITTEN)
        .wrapping_sub(sent)
        .wrapping_sub(opened);
    (read != 0 && !is_fin)
        || written != begin(field::TCP_UNACKNOWLEDGED, field::TCP_BYTES_ACKNOWLEDGED)
}
