//! A call about datagrams, or about several messages of a stream → what its records share, in the scratch space.
//!
//! When such a call returns all is known of it: how many messages have moved, how long each one is, and each peer's
//! address where the caller wanted it.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{Header, counter, kind, program, responses};

use super::{
    continuation::{self, Next},
    message::{self, MESSAGE},
    places::Returned,
    receive as exit_receive, table,
    walk::Walked,
};
use crate::{
    arrival,
    call::Arguments,
    datagram,
    kernel::{self, Structure},
    maps::{self, Counters, Scratch},
    receive,
    record::Composer,
    send, side,
    socket::{self, State, Stream},
};

/// Most messages of one call: UIO_MAXIOV.
const MOST: u64 = 1024;

/// Goes on with the call in the program `messages`.
#[inline(always)]
pub fn hand_over(ctx: &BtfTracePointContext, sock: Walked) -> Option<()> {
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    unsafe { (*scratch).walked = sock };
    continuation::go_to(ctx, Next::Messages);
    None
}

/// The program `messages`.
#[inline(always)]
pub fn returned(ctx: &BtfTracePointContext) -> Option<()> {
    let call = Returned::of(Structure::new(ctx.arg(0))?)?;
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    let sock = unsafe { (*scratch).walked };
    let counters = Counters::of(program::RECEIVE)?;
    let count = ctx.arg::<u64>(1);
    let length = length(call, scratch, count);
    if length == 0 {
        return ended(call, sock, counters);
    }
    if call.is_send() {
        send::count(counters, length);
    } else {
        receive::count(counters, length);
    }
    if is_response(call) && kernel::responses() == responses::NONE {
        return None;
    }
    let is_datagram = datagram::is_datagram(sock);
    let state = state(sock, counters, length, is_datagram)?;
    match begin(call, sock, state, counters, scratch, length) {
        Ok(arguments) => {
            message::place(scratch, arguments, count, length, is_datagram);
            continuation::go_to(ctx, next(call));
        }
        Err(cause) => lose(call, state, counters, length, cause),
    }
    Some(())
}

#[inline(always)]
fn next(call: Returned) -> Next {
    if call.is_send() {
        Next::MessagesSent
    } else {
        Next::MessagesReceived
    }
}

#[inline(always)]
fn is_response(call: Returned) -> bool {
    call.is_send() != side::is_client()
}

/// Bytes the call moved.
#[inline(always)]
fn length(call: Returned, scratch: *mut Scratch, result: u64) -> u32 {
    if !call.has_messages() {
        return result as u32;
    }
    let mut sum = 0_u32;
    for index in 0..MOST {
        if index >= result {
            break;
        }
        sum = sum.wrapping_add(message::length_of(scratch, call.second() + index * MESSAGE));
    }
    sum
}

/// A call that moved nothing can be a stream's end.
#[inline(always)]
fn ended(call: Returned, sock: Walked, counters: Counters) -> Option<()> {
    if call.is_send() {
        None
    } else {
        exit_receive::ended(call, sock, counters)
    }
}

#[inline(always)]
fn state(
    sock: Walked,
    counters: Counters,
    length: u32,
    is_datagram: bool,
) -> Option<&'static mut State> {
    if !is_datagram {
        return table::state(sock, counters, length);
    }
    let state = table::of_datagrams(sock, counters);
    if state.is_none() {
        counters.add(counter::NO_STATE, u64::from(length));
    }
    state
}

#[inline(always)]
fn stream(state: &mut State, call: Returned) -> &mut Stream {
    if call.is_send() {
        side::sent(state)
    } else {
        side::received(state)
    }
}

/// Counts a call of which no byte is kept.
#[inline(always)]
fn lose(call: Returned, state: &mut State, counters: Counters, length: u32, cause: u32) {
    let stream = stream(state, call);
    stream.call += 1;
    stream.lose(counters, cause, u64::from(length));
}

/// Starts the call's records in the scratch space; otherwise why there will be none.
#[inline(always)]
fn begin(
    call: Returned,
    sock: Walked,
    state: &mut State,
    counters: Counters,
    scratch: *mut Scratch,
    length: u32,
) -> Result<Arguments, u32> {
    let is_datagram = datagram::is_datagram(sock);
    if is_datagram {
        state.identify(sock);
    } else if call.is_send() {
        state.note_send(sock, counters, length);
    } else {
        state.note_receive(sock, counters, length);
    }
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    // Early, while little is told apart: the verifier looks at it once for each.
    let is_announced = !maps::is_unattended(time) && state.announce(sock, counters, time);
    let dealt = state.dealt;
    state.dealt = 0;
    let arguments = receive::arguments(call.flags(), time, || call.arguments())?;
    if !is_announced {
        return Err(counter::RING_FULL);
    }
    let cookie = state.cookie;
    let stream = stream(state, call);
    stream.call += u32::from(!call.is_send());
    let header = Header {
        kind: kind(call, is_datagram),
        arrival: if call.is_send() {
            0
        } else {
            arrival::of(sock, dealt, time)
        },
        call: stream.call,
        ..socket::empty(cookie, time)
    };
    // SAFETY: a map's value that only this program on this CPU uses.
    let own = unsafe {
        (*scratch).stream = if is_datagram {
            Stream::unseen()
        } else {
            *stream
        };
        &raw mut (*scratch).stream
    };
    let before = if is_datagram { datagram::PEER } else { 0 };
    Composer::behind(before, scratch, own, counters, header);
    Ok(arguments)
}

#[inline(always)]
fn kind(call: Returned, is_datagram: bool) -> u32 {
    match (is_datagram, is_response(call)) {
        (true, true) => kind::DATAGRAM_RESPONSE,
        (true, false) if side::is_client() => kind::DATAGRAM_REQUEST,
        (true, false) => kind::DATAGRAM_REQUEST_NAMED,
        (false, true) => kind::RESPONSE,
        (false, false) => kind::REQUEST,
    }
}
