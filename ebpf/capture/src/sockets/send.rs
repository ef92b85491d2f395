//! A send that is done → what memcached answered, as records.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{Header, counter, kind, program, responses};

use crate::{
    call::{self, Arguments, Shape},
    datagram, hit,
    kernel::{self, Sock, Structure},
    maps::{self, Counters, Scratch, VECTORS},
    receive,
    record::Composer,
    response::{self, MOST_KEPT},
    side,
    single::{Call, SHORT},
    socket::{self, State},
    vector,
};

/// The program `sock_send_length`.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    let length = ctx.arg::<i32>(1);
    if !socket::is_followed(sock) {
        return datagram::count_unconnected(
            sock,
            length,
            program::SEND,
            maps::send_scratch,
            call::sending,
        );
    }
    if length <= 0 {
        return failed(sock);
    }
    let counters = Counters::of(program::SEND)?;
    count(counters, length as u32);
    if !side::is_client() && kernel::responses() == responses::NONE {
        return None;
    }
    if datagram::is_datagram(sock) {
        return datagram::sent(sock, counters, length as u32);
    }
    let state = socket::state(sock, counters, length as u32)?;
    state.note_send(sock, counters, length as u32);
    record(sock, state, counters, length as u32)
}

/// A send that moved nothing ends a call with several messages.
#[inline(always)]
fn failed(sock: Structure) -> Option<()> {
    let state = maps::known_state(sock)?;
    // SAFETY: a map's value; the kernel keeps it while the program runs.
    unsafe { side::sent(&mut *state).place.reset() };
    None
}

#[inline(always)]
fn record(sock: Structure, state: &mut State, counters: Counters, length: u32) -> Option<()> {
    let header = begin(sock, state, counters, length)?;
    let mut call = Call {
        stream: side::sent(state),
        counters,
        header,
    };
    if !side::is_client() && kernel::responses() == responses::LENGTHS {
        call.keep_length();
        return Some(());
    }
    let scratch = maps::send_scratch()?;
    match call::sending().and_then(|arguments| located(&mut call, scratch, arguments)) {
        Ok(arguments) if side::is_client() => {
            let is_whole = length <= receive::LONGEST_WHOLE;
            receive::keep_all(call, Some(scratch), arguments, is_whole);
        }
        Ok(arguments) => keep(call, scratch, arguments),
        Err(cause) => call.stream.lose(counters, cause, u64::from(length)),
    }
    Some(())
}

/// A call's one buffer or message.
#[inline(always)]
fn located(
    call: &mut Call<'_>,
    scratch: *mut Scratch,
    arguments: Arguments,
) -> Result<Arguments, u32> {
    let place = &mut call.stream.place;
    let Shape::Messages = arguments.shape else {
        place.reset();
        return Ok(arguments);
    };
    place
        .sent(arguments, scratch, call.header.call_length)
        .ok_or(counter::OTHER_SYSCALL)
}

/// Counts a send of a followed socket.
#[inline(always)]
pub fn count(counters: Counters, length: u32) {
    let [calls, bytes] = side::sent_counters();
    counters.add(calls, 1);
    counters.add(bytes, u64::from(length));
}

/// What the records of a send share; nothing if no record of it can be made.
#[inline(always)]
pub fn begin(
    sock: impl Sock,
    state: &mut State,
    counters: Counters,
    length: u32,
) -> Option<Header> {
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    let stream = side::sent(state);
    let call = stream.call;
    stream.call += 1;
    if maps::is_unattended(time) {
        stream.lose(counters, counter::UNATTENDED, u64::from(length));
        return None;
    }
    if !state.announce(sock, counters, time) {
        side::sent(state).lose(counters, counter::RING_FULL, u64::from(length));
        return None;
    }
    Some(Header {
        kind: if side::is_client() {
            kind::REQUEST
        } else {
            kind::RESPONSE
        },
        call_length: length,
        call,
        ..socket::empty(state.cookie, time)
    })
}

/// A send's first buffer, how much of the send it could hold, and how many iovecs are in the scratch space.
#[inline(always)]
pub fn first(scratch: *mut Scratch, arguments: Arguments, length: u32) -> (u64, u64, u64) {
    match arguments.shape {
        Shape::Buffer => (arguments.address, u64::from(length), 0),
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = vector::copy(scratch, arguments);
            let [address, in_first] = vector::vector(scratch, 0);
            (address, if count == 0 { 0 } else { in_first }, count)
        }
    }
}

#[inline(always)]
fn keep(call: Call<'_>, scratch: *mut Scratch, arguments: Arguments) {
    let length = call.header.call_length;
    let (address, in_first, count) = first(scratch, arguments, length);
    let is_single = in_first >= u64::from(length);
    if is_single && length as usize <= SHORT {
        return call.keep_short(address);
    }
    let Some(call) = hit::keep(call, scratch, count) else {
        return;
    };
    let composer = Composer::new(scratch, call.stream, call.counters, call.header);
    if is_single {
        response::add(composer, address, u64::from(length), 0);
        composer.emit();
    } else {
        vector::walk(composer, count, VECTORS as u32, keep_next);
    }
}

pub extern "C" fn keep_next(_: u64, context: *mut Composer) -> i64 {
    // SAFETY: `vector::walk` passes a composer.
    keep_part(unsafe { *context })
}

/// Adds the current iovec as a part; 1 when there is none.
#[inline(always)]
pub fn keep_part(composer: Composer) -> i64 {
    let Some((address, length)) = vector::current(composer) else {
        return 1;
    };
    if composer.room() < MOST_KEPT {
        composer.emit();
    }
    if composer.is_exhausted() {
        return 1;
    }
    let walk = &mut composer.progress().walk;
    if length != 0 {
        walk.value = response::add(composer, address, length, walk.value);
    }
    walk.advance();
    0
}
