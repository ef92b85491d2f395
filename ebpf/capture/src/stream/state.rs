//! Calls on a socket → where its two streams are, and which bytes passed no hook.

use membench_bpf_lib::{
    abi::{
        AF_INET, AF_INET6, AF_UNIX, HAS_GOT_FIN, HAS_SENT_FIN, IPPROTO_MPTCP, IPPROTO_TCP,
        IPPROTO_UDP, SOCK_STREAM,
    },
    context,
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

/// Bytes that moved before the first calls seen on a socket, or after the last.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Edge {
    pub request: u32,
    pub response: u32,
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
    /// Bytes that had moved before the first call seen, modulo 2^32.
    pub before: Edge,
    /// Address at which the server's own read buffer ends, as far as reads have shown.
    buffer_end: u64,
    /// Time at which the socket had last dealt with a packet as the running receive began, ns; 0 between receives.
    pub dealt: u64,
    pub request: Stream,
    pub response: Stream,
}

impl Edge {
    /// No byte.
    pub const NONE: Self = Self {
        request: 0,
        response: 0,
    };

    /// Sums up the bytes that the followed end has read and written.
    #[inline(always)]
    fn new(read: u32, written: u32) -> Self {
        if follow::is_client() {
            Self {
                request: written,
                response: read,
            }
        } else {
            Self {
                request: read,
                response: written,
            }
        }
    }
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

    /// Returns how many bytes follow the last one seen, up to `end`. `fins` FINs before that have numbers, too. A step
    /// back is no loss: of two concurrent calls on one socket, the later may be seen first.
    #[inline(always)]
    fn unseen(&self, end: u32, fins: u32) -> u32 {
        let unseen = end.wrapping_sub(self.sequence).wrapping_sub(fins);
        if self.known != 0 && unseen.cast_signed() > 0 {
            unseen
        } else {
            0
        }
    }

    /// True if the last byte seen is the last that TCP has numbered in `end`.
    #[inline(always)]
    fn has_reached(&self, sock: impl Sock, end: usize) -> bool {
        let end = sock.tcp().map(|tcp| tcp.read::<u32>(end));
        self.known != 0 && end == Some(self.sequence)
    }

    /// Compares where a call's bytes begin with where the last call's ended. Bytes between were moved by something that
    /// passes no hook (splice, `TCP_ZEROCOPY_RECEIVE`) or while the program could not run.
    #[inline(always)]
    fn follow_on(&mut self, counters: Counters, begin: u32, end: u32, fins: u32) {
        let missed = self.unseen(begin, fins);
        if missed != 0 {
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
            before: Edge {
                request: zero() as u32,
                response: zero() as u32,
            },
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
        let fins = fins_read(tcp);
        self.received()
            .follow_on(counters, end.wrapping_sub(length), end, fins);
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
            .follow_on(counters, end.wrapping_sub(length), end, 0);
    }

    /// Returns what moved after the last calls seen, as a socket closes from the state `from`.
    #[inline(always)]
    pub fn after(&mut self, sock: impl Sock, from: u32) -> Edge {
        let Some(tcp) = sock.tcp() else {
            return Edge::NONE;
        };
        let is_from = |states: u32| states >> (from & 31) & 1 != 0;
        let read = if follow::notes_receives() {
            let copied = tcp.read::<u32>(field::TCP_COPIED);
            let has_read_fin = is_from(HAS_GOT_FIN) && copied == tcp.read(field::TCP_RECEIVED);
            self.received().unseen(copied, u32::from(has_read_fin))
        } else {
            0
        };
        let written = if follow::notes_sends() {
            let written = tcp.read::<u32>(field::TCP_WRITTEN);
            self.sent()
                .unseen(written, u32::from(is_from(HAS_SENT_FIN)))
        } else {
            0
        };
        Edge::new(read, written)
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
        if self.cookie == 0 {
            self.cookie = sock.identity();
        }
    }

    /// Returns the socket's TCP half. On the first call, also notes the cookie and the bytes that had moved before.
    #[inline(always)]
    fn begin<S: Sock>(&mut self, sock: S, received: u32, sent: u32) -> Option<S> {
        let tcp = sock.tcp();
        if let (Some(tcp), 0) = (tcp, self.cookie) {
            self.begin_streams(tcp, received, sent);
        }
        self.identify(sock);
        tcp
    }

    /// Notes where both streams were before a first call that moved these lengths. The programs that see sends are
    /// attached first: a send may be the first call because receives are not seen yet, so it starts only its own stream.
    #[inline(always)]
    fn begin_streams(&mut self, tcp: impl Sock, received: u32, sent: u32) {
        let mut before = (0, 0);
        if follow::notes_receives() {
            before.0 = read_before(tcp, received);
            self.received().offset = u64::from(before.0);
        }
        if follow::notes_sends() {
            before.1 = written_before(tcp, sent);
            let stream = self.sent();
            stream.offset = u64::from(before.1);
            if sent == 0 {
                stream.sequence = tcp.read(field::TCP_WRITTEN);
                stream.known = 1;
            }
        }
        self.before = Edge::new(before.0, before.1);
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

/// Returns the bytes that the application had read before a call that returned `received` of them.
#[inline(always)]
fn read_before(tcp: impl Sock, received: u32) -> u32 {
    let first = first_number(tcp, field::TCP_RECEIVED, field::TCP_BYTES_RECEIVED);
    let read = tcp
        .read::<u32>(field::TCP_COPIED)
        .wrapping_sub(first)
        .wrapping_sub(received);
    if read == 0 { 0 } else { read - fins_read(tcp) }
}

/// Returns the bytes that the application had written before a call that took `sent` of them. The side that connects
/// has its SYN acknowledged, which counts as a byte.
#[inline(always)]
fn written_before(tcp: impl Sock, sent: u32) -> u32 {
    let (next, counted) = (field::TCP_UNACKNOWLEDGED, field::TCP_BYTES_ACKNOWLEDGED);
    let first = first_number(tcp, next, counted);
    tcp.read::<u32>(field::TCP_WRITTEN)
        .wrapping_sub(first)
        .wrapping_sub(sent)
        .wrapping_sub(u32::from(follow::is_client()))
}

/// Returns the sequence number of a stream's first byte. The kernel does not keep it, but counts the bytes up to the
/// number `next`. Another CPU may just be moving both, one after the other, which shows in two looks that differ.
#[inline(always)]
fn first_number(tcp: impl Sock, next: usize, counted: usize) -> u32 {
    let look = || {
        tcp.read::<u32>(next)
            .wrapping_sub(tcp.read::<u64>(counted) as u32)
    };
    let first = look();
    // Takes longer than the other CPU does between the two.
    context::now();
    let again = look();
    if again == first {
        return first;
    }
    context::now();
    look()
}

/// Returns 1 if the application has read the peer's FIN, which has a sequence number of its own.
#[inline(always)]
fn fins_read(tcp: impl Sock) -> u32 {
    let has_read_all =
        || tcp.read::<u32>(field::TCP_COPIED) == tcp.read::<u32>(field::TCP_RECEIVED);
    u32::from(tcp.is_finished() && has_read_all())
}
