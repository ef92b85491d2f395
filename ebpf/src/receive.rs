//! A receive that is done → what memcached read, as records.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{
    HEAD, Header, RECORD_PAYLOAD, RECORDS_PER_CALL, TAIL, WHOLE_CAPACITY, counter, kind, program,
};

use crate::{
    arrival,
    call::{self, Arguments, Shape},
    close, datagram,
    kernel::Structure,
    maps::{self, Counters, VECTORS},
    record::{Buffer, Composer},
    single::{Call, LONG, SHORT},
    socket::{self, State, Stream},
    vector,
};

const MSG_OOB: i32 = 1;
const MSG_PEEK: i32 = 2;
const MSG_TRUNC: i32 = 0x20;
const MSG_ERRQUEUE: i32 = 0x2000;
/// Receives that take nothing from the stream.
const ASIDE: i32 = MSG_OOB | MSG_PEEK | MSG_ERRQUEUE;

const HEAD_BYTES: u64 = HEAD as u64;
const TAIL_BYTES: u64 = TAIL as u64;
const PAYLOAD: u64 = RECORD_PAYLOAD as u64;
/// Room below which a record is full.
const LEAST_ROOM: u64 = 8;
/// One for each iovec, and one more for each record that ends within one.
const STEPS: u32 = VECTORS as u32 + RECORDS_PER_CALL;

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
    unsafe { (*state).request.place.reset() };
    None
}

#[inline(always)]
fn read(sock: Structure, counters: Counters, length: u32, flags: i32) -> Option<()> {
    counters.add(counter::REQUEST_CALLS, 1);
    counters.add(counter::REQUEST_BYTES, u64::from(length));
    if datagram::is_datagram(sock) {
        return datagram::received(sock, counters, length, call::receiving());
    }
    let state = socket::state(sock, counters, length)?;
    state.note_receive(sock, counters, length);
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    match arguments(flags, time).and_then(|arguments| located(state, arguments)) {
        Ok(arguments) => keep(sock, state, counters, length, arguments, time),
        Err(cause) => {
            state.request.call += 1;
            state.request.lose(counters, cause, u64::from(length));
        }
    }
    state.dealt = 0;
    Some(())
}

/// With `MSG_TRUNC` TCP discards the bytes: they are in no buffer.
#[inline(always)]
fn arguments(flags: i32, time: u64) -> Result<Arguments, u32> {
    if flags & MSG_TRUNC != 0 {
        Err(counter::OTHER_SYSCALL)
    } else if maps::is_unattended(time) {
        Err(counter::UNATTENDED)
    } else {
        call::receiving()
    }
}

/// A call's one buffer or message.
#[inline(always)]
fn located(state: &mut State, arguments: Arguments) -> Result<Arguments, u32> {
    let place = &mut state.request.place;
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
    state.request.call += u32::from(!arguments.follows);
    let call = state.request.call;
    if !state.announce(sock, counters, time) {
        state
            .request
            .lose(counters, counter::RING_FULL, u64::from(length));
        return;
    }
    let is_buffer = matches!(arguments.shape, Shape::Buffer);
    let gathers = is_buffer && state.note_buffer(arguments.address, arguments.count);
    let header = Header {
        kind: if is_buffer && arguments.count == u64::from(length) {
            kind::REQUEST_FILLED
        } else {
            kind::REQUEST
        },
        arrival: arrival::of(sock, state.dealt, time),
        call_length: length,
        call,
        ..socket::empty(state.cookie, time)
    };
    if let Shape::Buffer = arguments.shape
        && length as usize <= LONG
    {
        keep_small(&mut state.request, counters, header, arguments.address);
        return;
    }
    let Some(scratch) = maps::receive_scratch() else {
        return;
    };
    let composer = Composer::new(scratch, &raw mut state.request, counters, header);
    match arguments.shape {
        Shape::Buffer if gathers || arguments.count <= WHOLE_CAPACITY => {
            keep_whole(composer, arguments.address)
        }
        Shape::Buffer => keep_ends(composer, arguments.address),
        // As other servers read; memcached does not.
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = vector::copy(composer.scratch, arguments);
            vector::walk(composer, count, STEPS, keep_next);
        }
    }
}

/// A read of few bytes, which are kept whatever the buffer is for.
#[inline(always)]
fn keep_small(stream: &mut Stream, counters: Counters, header: Header, address: u64) {
    let length = header.call_length as usize;
    let call = Call {
        stream,
        counters,
        header,
    };
    if length <= SHORT {
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

/// Adds as much of the current iovec as fits.
extern "C" fn keep_next(_: u64, context: *mut Composer) -> i64 {
    // SAFETY: `vector::walk` passes a composer.
    let composer = unsafe { *context };
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

/// A receive of 0 bytes is the stream's end, unless it asked for none. The record is sent once.
#[inline(always)]
fn ended(sock: Structure, counters: Counters) -> Option<()> {
    if socket::unsupported(sock).is_some() || !socket::is_finished(sock) || asked_for_nothing() {
        return None;
    }
    let state = socket::state(sock, counters, 0)?;
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
    None
}

#[inline(always)]
fn asked_for_nothing() -> bool {
    matches!(
        call::receiving(),
        Ok(Arguments {
            shape: Shape::Buffer,
            count: 0,
            ..
        })
    )
}
