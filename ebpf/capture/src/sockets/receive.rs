//! A receive that is done → what memcached read, as records.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{
    HEAD, Header, RECORD_PAYLOAD, RECORDS_PER_CALL, TAIL, WHOLE_CAPACITY, counter, kind, program,
    responses,
};

use crate::{
    arrival,
    call::{self, Arguments, Shape},
    close, datagram,
    kernel::{self, Sock, Structure},
    maps::{self, Counters, Scratch, VECTORS},
    record::{Buffer, Composer},
    side,
    single::{Call, LONG, SHORT},
    socket::{self, State},
    vector,
};

const MSG_OOB: i32 = 1;
const MSG_PEEK: i32 = 2;
const MSG_TRUNC: i32 = 0x20;
const MSG_ERRQUEUE: i32 = 0x2000;
/// Receives that take nothing from the stream.
pub const ASIDE: i32 = MSG_OOB | MSG_PEEK | MSG_ERRQUEUE;

const HEAD_BYTES: u64 = HEAD as u64;
const TAIL_BYTES: u64 = TAIL as u64;
const PAYLOAD: u64 = RECORD_PAYLOAD as u64;
/// Longest call of a client's that is kept whole if it is in one buffer.
pub const LONGEST_WHOLE: u32 = RECORDS_PER_CALL * RECORD_PAYLOAD as u32;
/// Room below which a record is full.
pub const LEAST_ROOM: u64 = 8;
/// One for each iovec, and one more for each record that ends within one.
pub const STEPS: u32 = VECTORS as u32 + RECORDS_PER_CALL;

/// The program `sock_recv_length`.
#[inline(always)]
pub fn received(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    let flags = ctx.arg::<i32>(2);
    if !socket::is_followed(sock) || flags & ASIDE != 0 {
        return None;
    }
    let counters = Counters::of(program::RECEIVE)?;
    match ctx.arg::<i32>(1) {
        0 => ended(sock, counters),
        length if length > 0 => read(sock, counters, length as u32, flags),
        _ => failed(sock),
    }
}

/// A receive that took nothing ends a call with several messages.
#[inline(always)]
fn failed(sock: Structure) -> Option<()> {
    let state = maps::known_state(sock)?;
    // SAFETY: a map's value; the kernel keeps it while the program runs.
    unsafe { side::received(&mut *state).place.reset() };
    None
}

#[inline(always)]
fn read(sock: Structure, counters: Counters, length: u32, flags: i32) -> Option<()> {
    count(counters, length);
    if side::is_client() && kernel::responses() == responses::NONE {
        return None;
    }
    if datagram::is_datagram(sock) {
        return datagram::received(sock, counters, length);
    }
    let state = socket::state(sock, counters, length)?;
    state.note_receive(sock, counters, length);
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    let arguments = arguments(flags, time, call::receiving);
    match arguments.and_then(|arguments| located(state, arguments)) {
        Ok(arguments) => keep(sock, state, counters, length, arguments, time),
        Err(cause) => lose(state, counters, length, cause),
    }
    state.dealt = 0;
    Some(())
}

/// Counts a receive of a followed socket.
#[inline(always)]
pub fn count(counters: Counters, length: u32) {
    let [calls, bytes] = side::received_counters();
    counters.add(calls, 1);
    counters.add(bytes, u64::from(length));
}

/// Counts a receive of which no byte is kept.
#[inline(always)]
pub fn lose(state: &mut State, counters: Counters, length: u32, cause: u32) {
    let stream = side::received(state);
    stream.call += 1;
    stream.lose(counters, cause, u64::from(length));
}

/// Where a receive's bytes are, or why they are not kept. With `MSG_TRUNC` TCP discards them: they are in no buffer.
#[inline(always)]
pub fn arguments(
    flags: i32,
    time: u64,
    of_call: impl FnOnce() -> Result<Arguments, u32>,
) -> Result<Arguments, u32> {
    if flags & MSG_TRUNC != 0 {
        Err(counter::OTHER_SYSCALL)
    } else if maps::is_unattended(time) {
        Err(counter::UNATTENDED)
    } else {
        of_call()
    }
}

/// A call's one buffer or message.
#[inline(always)]
fn located(state: &mut State, arguments: Arguments) -> Result<Arguments, u32> {
    let place = &mut side::received(state).place;
    let Shape::Messages = arguments.shape else {
        place.reset();
        return Ok(arguments);
    };
    place.received(arguments).ok_or(counter::OTHER_SYSCALL)
}

#[inline(always)]
fn keep(
    sock: Structure,
    state: &mut State,
    counters: Counters,
    length: u32,
    arguments: Arguments,
    time: u64,
) {
    let Some((header, gathers)) = begin(sock, state, counters, length, arguments, time) else {
        return;
    };
    let is_whole = if side::is_client() {
        length <= LONGEST_WHOLE
    } else {
        gathers || arguments.count <= WHOLE_CAPACITY
    };
    let call = Call {
        stream: side::received(state),
        counters,
        header,
    };
    keep_all(call, maps::receive_scratch(), arguments, is_whole);
}

/// What the records of a receive share, and whether it went into the server's own buffer; nothing if the socket could
/// not be announced.
#[inline(always)]
pub fn begin(
    sock: impl Sock,
    state: &mut State,
    counters: Counters,
    length: u32,
    arguments: Arguments,
    time: u64,
) -> Option<(Header, bool)> {
    let stream = side::received(state);
    stream.call += u32::from(!arguments.follows);
    let call = stream.call;
    if !state.announce(sock, counters, time) {
        side::received(state).lose(counters, counter::RING_FULL, u64::from(length));
        return None;
    }
    let is_buffer = matches!(arguments.shape, Shape::Buffer);
    let gathers = is_buffer && state.note_buffer(arguments.address, arguments.count);
    let header = Header {
        kind: if side::is_client() {
            kind::RESPONSE
        } else if is_buffer && arguments.count == u64::from(length) {
            kind::REQUEST_FILLED
        } else {
            kind::REQUEST
        },
        arrival: arrival::of(sock, state.dealt, time),
        call_length: length,
        call,
        ..socket::empty(state.cookie, time)
    };
    Some((header, gathers))
}

/// Keeps every byte of a call; of one buffer only the ends, unless `is_whole`.
#[inline(always)]
pub fn keep_all(
    call: Call<'_>,
    scratch: Option<*mut Scratch>,
    arguments: Arguments,
    is_whole: bool,
) {
    if let Shape::Buffer = arguments.shape
        && call.header.call_length as usize <= LONG
    {
        return keep_small(call, arguments.address);
    }
    let Some(scratch) = scratch else {
        return;
    };
    let composer = Composer::new(scratch, call.stream, call.counters, call.header);
    match arguments.shape {
        Shape::Buffer if is_whole => keep_whole(composer, arguments.address),
        Shape::Buffer => keep_ends(composer, arguments.address),
        // As other servers read, and as clients write.
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = vector::copy(composer.scratch, arguments);
            vector::walk(composer, count, STEPS, keep_next);
        }
    }
}

/// A read into one buffer, which `gathers` requests or has a part of one behind it.
#[inline(always)]
pub fn keep_buffer(composer: Composer, arguments: Arguments, gathers: bool) {
    if gathers || arguments.count <= WHOLE_CAPACITY || composer.left() <= LONG as u64 {
        keep_whole(composer, arguments.address)
    } else {
        keep_ends(composer, arguments.address)
    }
}

/// A read of few bytes, which are kept whatever the buffer is for.
#[inline(always)]
fn keep_small(call: Call<'_>, address: u64) {
    if call.header.call_length as usize <= SHORT {
        call.keep_short(address);
    } else {
        call.keep_long(address);
    }
}

/// A read into memcached's buffer: requests, of which every byte counts.
#[inline(always)]
fn keep_whole(composer: Composer, mut address: u64) {
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

/// A read straight into an item: a value, and perhaps what follows it.
#[inline(always)]
fn keep_ends(composer: Composer, address: u64) {
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

pub extern "C" fn keep_next(_: u64, context: *mut Composer) -> i64 {
    // SAFETY: `vector::walk` passes a composer.
    keep_part(unsafe { *context })
}

/// Adds as much of the current iovec as fits; 1 when there is none.
#[inline(always)]
pub fn keep_part(composer: Composer) -> i64 {
    if composer.room() < LEAST_ROOM {
        composer.emit();
    }
    let Some((address, length)) = vector::current(composer) else {
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
    let walk = &mut composer.progress().walk;
    if length > room {
        walk.advance_within(room)
    } else {
        walk.advance()
    }
    0
}

/// A receive of 0 bytes is the stream's end, unless it asked for none.
#[inline(always)]
fn ended(sock: Structure, counters: Counters) -> Option<()> {
    if is_no_end(sock, call::receiving()) {
        return None;
    }
    end(sock, socket::state(sock, counters, 0)?, counters);
    None
}

/// Whether a receive of 0 bytes says nothing about the stream.
#[inline(always)]
pub fn is_no_end(sock: impl Sock, arguments: Result<Arguments, u32>) -> bool {
    let asked_for_nothing = matches!(
        arguments,
        Ok(Arguments {
            shape: Shape::Buffer,
            count: 0,
            ..
        })
    );
    asked_for_nothing || socket::unsupported(sock).is_some() || !socket::is_finished(sock)
}

/// Puts the record of the end of a socket's requests into the ring, once.
#[inline(always)]
pub fn end(sock: impl Sock, state: &mut State, counters: Counters) {
    state.note_receive(sock, counters, 0);
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    if state.ended == 0 && state.announce(sock, counters, time) && state.output_end(counters, time)
    {
        state.ended = 1;
        // No hook tells when such a socket is closed: its server does that next.
        if socket::is_unix(sock) {
            close::record(state, counters);
        }
    }
}
