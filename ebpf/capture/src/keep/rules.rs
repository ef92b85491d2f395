//! A call that moved bytes → what its records share, and how much of each buffer they keep.
//!
//! Both sets of hooks keep to these rules.

use membench_bpf_lib::{
    abi::MSG_TRUNC,
    context::{self, jiffies},
    counters::Counters,
    heartbeat,
    kernel::{Sock, jiffy},
};
use membench_common::{
    HEAD, Header, RECORD_PAYLOAD, RECORDS_PER_CALL, TAIL, WHOLE_CAPACITY, counter, field, kind,
};

use crate::{
    call::{
        iovec,
        registers::{Arguments, Shape},
    },
    follow,
    keep::{
        composer::{Buffer, Composer},
        inline::LONG,
        response::{self, MOST_KEPT},
    },
    scratch::Draft,
    stream::{
        announce,
        state::{self, Edge, State},
    },
};

/// Longest call of a client that is kept whole if it is in one buffer.
pub const LONGEST_WHOLE: u32 = RECORDS_PER_CALL * RECORD_PAYLOAD as u32;
/// Room below which a record is full.
pub const LEAST_ROOM: u64 = 8;

const HEAD_BYTES: u64 = HEAD as u64;
const TAIL_BYTES: u64 = TAIL as u64;
const PAYLOAD: u64 = RECORD_PAYLOAD as u64;

/// Calls and bytes of requests.
const REQUESTS: [u32; 2] = [counter::REQUEST_CALLS, counter::REQUEST_BYTES];
/// Calls and bytes of responses.
const RESPONSES: [u32; 2] = [counter::RESPONSE_CALLS, counter::RESPONSE_BYTES];

/// A call that moved bytes over a followed socket.
#[derive(Clone, Copy)]
pub struct Moved<S> {
    pub sock: S,
    pub counters: Counters,
    /// Bytes moved.
    pub length: u32,
    /// Time at which the call was seen, CLOCK_MONOTONIC, ns.
    pub time: u64,
}

impl<S> Moved<S> {
    /// Notes a call that has just been seen.
    #[inline(always)]
    pub fn new(sock: S, counters: Counters, length: u32) -> Self {
        Self {
            sock,
            counters,
            length,
            time: context::now(),
        }
    }
}

/// Counts a receive on a followed socket.
#[inline(always)]
pub fn count_receive(counters: Counters, length: u32) {
    count(
        counters,
        length,
        if follow::is_client() {
            RESPONSES
        } else {
            REQUESTS
        },
    );
}

/// Counts a send on a followed socket.
#[inline(always)]
pub fn count_send(counters: Counters, length: u32) {
    count(
        counters,
        length,
        if follow::is_client() {
            REQUESTS
        } else {
            RESPONSES
        },
    );
}

#[inline(always)]
fn count(counters: Counters, length: u32, [calls, bytes]: [u32; 2]) {
    counters.add(calls, 1);
    counters.add(bytes, u64::from(length));
}

/// Counts a receive without keeping a byte of it.
#[inline(always)]
pub fn lose_receive<S>(moved: Moved<S>, state: &mut State, cause: u32) {
    let stream = state.received();
    stream.call += 1;
    stream.lose(moved.counters, cause, u64::from(moved.length));
}

/// Returns where a receive's bytes are, or the counter that says why they are not kept. With `MSG_TRUNC` TCP discards
/// them, so they are in no buffer.
#[inline(always)]
pub fn received_arguments(
    flags: i32,
    time: u64,
    arguments: impl FnOnce() -> Result<Arguments, u32>,
) -> Result<Arguments, u32> {
    if flags & MSG_TRUNC != 0 {
        Err(counter::OTHER_SYSCALL)
    } else if heartbeat::is_unattended(time) {
        Err(counter::UNATTENDED)
    } else {
        arguments()
    }
}

/// Returns what the records of a receive share, and true if the receive went into the server's own buffer. `None` if
/// the socket could not be announced. `tcp` is the socket's TCP half.
#[inline(always)]
pub fn begin_receive<S: Sock>(
    moved: Moved<S>,
    state: &mut State,
    tcp: Option<S>,
    arguments: Arguments,
) -> Option<(Header, bool)> {
    let Moved {
        sock,
        counters,
        length,
        time,
    } = moved;
    let stream = state.received();
    stream.call += u32::from(!arguments.follows);
    let call = stream.call;
    if !announce::announce(state, sock, counters, time) {
        state
            .received()
            .lose(counters, counter::RING_FULL, u64::from(length));
        return None;
    }
    let is_buffer = matches!(arguments.shape, Shape::Buffer);
    let gathers = is_buffer && state.note_buffer(arguments.address, arguments.count);
    let header = Header {
        kind: if follow::is_client() {
            kind::RESPONSE
        } else if is_buffer && arguments.count == u64::from(length) {
            kind::REQUEST_FILLED
        } else {
            kind::REQUEST
        },
        arrival: arrival(tcp, state.dealt, time),
        call_length: length,
        call,
        ..state.header(time)
    };
    Some((header, gathers))
}

/// Returns what the records of a send share; `None` if there can be no record of it.
#[inline(always)]
pub fn begin_send<S: Sock>(moved: Moved<S>, state: &mut State) -> Option<Header> {
    let Moved {
        sock,
        counters,
        length,
        time,
    } = moved;
    let stream = state.sent();
    let call = stream.call;
    stream.call += 1;
    if heartbeat::is_unattended(time) {
        stream.lose(counters, counter::UNATTENDED, u64::from(length));
        return None;
    }
    if !announce::announce(state, sock, counters, time) {
        state
            .sent()
            .lose(counters, counter::RING_FULL, u64::from(length));
        return None;
    }
    Some(Header {
        kind: if follow::is_client() {
            kind::REQUEST
        } else {
            kind::RESPONSE
        },
        call_length: length,
        call,
        ..state.header(time)
    })
}

/// Returns when the data of a receive that returned at `now` arrived, CLOCK_MONOTONIC, ns; 0 if that is not known.
/// `dealt` is exact, but an acknowledgement sent after the data moves it. Only data moves the time of the last data,
/// which the kernel keeps in jiffies. If the two are more than a jiffy apart, that time is right.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L720-L728>
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c#L54-L63>
#[inline(always)]
pub fn arrival(tcp: Option<impl Sock>, dealt: u64, now: u64) -> u64 {
    let (Some(tcp), true) = (tcp, dealt != 0) else {
        return 0;
    };
    let jiffy = u64::from(jiffy());
    let age = u64::from(jiffies().wrapping_sub(tcp.read(field::TCP_LAST_DATA))) * jiffy;
    let by_data = now.wrapping_sub(age);
    if dealt > by_data + jiffy {
        by_data
    } else {
        dealt
    }
}

/// Keeps a receive into one buffer: whole if the buffer collects requests (`gathers`, or its capacity says so) or
/// little was received, otherwise by its ends.
#[inline(always)]
pub fn keep_buffer(composer: &mut Composer<'_>, arguments: Arguments, gathers: bool) {
    if gathers || arguments.count <= WHOLE_CAPACITY || composer.left() <= LONG as u64 {
        keep_whole(composer, arguments.address);
    } else {
        keep_ends(composer, arguments.address);
    }
}

/// Keeps every byte: a read into memcached's own buffer, which holds requests.
#[inline(always)]
pub fn keep_whole(composer: &mut Composer<'_>, mut address: u64) {
    for _ in 0..RECORDS_PER_CALL {
        let length = if composer.left() > PAYLOAD {
            PAYLOAD
        } else {
            composer.left()
        };
        composer.emit_whole(address, length);
        address += length;
        if composer.left() == 0 {
            return;
        }
    }
    composer.finish();
}

/// Keeps both ends: a read straight into an item, of a value and perhaps of what follows it.
#[inline(always)]
pub fn keep_ends(composer: &mut Composer<'_>, address: u64) {
    let length = composer.left();
    let head = if length > HEAD_BYTES {
        HEAD_BYTES
    } else {
        length
    };
    let tail = if length - head > TAIL_BYTES {
        TAIL_BYTES
    } else {
        length - head
    };
    composer.add::<HEAD_BYTES, TAIL_BYTES>(Buffer {
        address,
        length,
        head,
        tail,
    });
    composer.emit();
}

/// Appends as much of the current iovec as fits into the record; returns 1 after the last iovec.
#[inline(always)]
pub fn keep_whole_part(composer: &mut Composer<'_>) -> i64 {
    if composer.room() < LEAST_ROOM {
        composer.emit();
    }
    let Some((address, length)) = iovec::current(composer.draft) else {
        return 1;
    };
    if composer.is_exhausted() {
        return 1;
    }
    let room = composer.room();
    let kept = if length > room { room } else { length };
    composer.add::<PAYLOAD, 0>(Buffer {
        address,
        length: kept,
        head: kept,
        tail: 0,
    });
    let walk = &mut composer.draft.progress.walk;
    if length > room {
        walk.advance_within(room);
    } else {
        walk.advance();
    }
    0
}

/// Appends the current iovec of a response as a part; returns 1 after the last iovec.
#[inline(always)]
pub fn keep_response_part(composer: &mut Composer<'_>) -> i64 {
    let Some((address, length)) = iovec::current(composer.draft) else {
        return 1;
    };
    if composer.room() < MOST_KEPT {
        composer.emit();
    }
    if composer.is_exhausted() {
        return 1;
    }
    if length != 0 {
        let value = composer.draft.progress.walk.value;
        composer.draft.progress.walk.value = response::add(composer, address, length, value);
    }
    composer.draft.progress.walk.advance();
    0
}

/// Copies a send's iovecs; returns the first buffer, how much of the send it could hold, and the number of iovecs.
#[inline(always)]
pub fn first_buffer(draft: &mut Draft, arguments: Arguments, length: u32) -> (u64, u64, u64) {
    match arguments.shape {
        Shape::Buffer => (arguments.address, u64::from(length), 0),
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = iovec::copy(draft, arguments);
            let [address, in_first] = iovec::vector(draft, 0);
            (address, if count == 0 { 0 } else { in_first }, count)
        }
    }
}

/// True if a receive of 0 bytes is the end of the stream: it asked for some, and the peer has closed its side.
#[inline(always)]
pub fn is_end(sock: impl Sock, arguments: Result<Arguments, u32>) -> bool {
    let asked_for_nothing = matches!(
        arguments,
        Ok(Arguments {
            shape: Shape::Buffer,
            count: 0,
            ..
        })
    );
    !asked_for_nothing && state::unsupported(sock).is_none() && sock.is_finished()
}

/// Puts the record of the end of the received stream into the ring, once.
#[inline(always)]
pub fn end(sock: impl Sock, state: &mut State, counters: Counters) {
    state.note_receive(sock, counters, 0);
    let time = context::now();
    if state.ended == 0
        && announce::announce(state, sock, counters, time)
        && announce::output_end(state, counters, time)
    {
        state.ended = 1;
        // No hook sees a UNIX-domain socket close. Its server does that next.
        if sock.is_unix() {
            announce::output_close(state, counters, Edge::NONE);
        }
    }
}
