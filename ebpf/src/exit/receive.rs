//! A receive that returned → what memcached read, as records.

use aya_ebpf::programs::BtfTracePointContext;
use membench_common::counter;

use super::{
    continuation::{self, Way},
    places::Returned,
    table,
    walk::Walked,
};
use crate::{
    call::{Arguments, Shape},
    maps::{self, Counters},
    receive,
    record::Composer,
    socket::State,
    vector,
};

/// A receive of `length` bytes.
#[inline(always)]
pub fn received(
    ctx: &BtfTracePointContext,
    call: Returned,
    sock: Walked,
    counters: Counters,
    length: u32,
) -> Option<()> {
    counters.add(counter::REQUEST_CALLS, 1);
    counters.add(counter::REQUEST_BYTES, u64::from(length));
    let state = table::state(sock, counters, length)?;
    state.note_receive(sock, counters, length);
    match call.arguments() {
        Ok(arguments) => keep(ctx, sock, state, counters, length, arguments),
        Err(cause) => {
            state.request.call += 1;
            state.request.lose(counters, cause, u64::from(length));
            None
        }
    }
}

#[inline(always)]
fn keep(
    ctx: &BtfTracePointContext,
    sock: Walked,
    state: &mut State,
    counters: Counters,
    length: u32,
    arguments: Arguments,
) -> Option<()> {
    let (header, gathers) = receive::begin(sock, state, counters, length, arguments)?;
    let scratch = maps::receive_scratch()?;
    let composer = Composer::new(scratch, &raw mut state.request, counters, header);
    match arguments.shape {
        Shape::Buffer => receive::keep_buffer(composer, arguments, gathers),
        Shape::Vectors | Shape::Message => {
            let count = vector::copy(scratch, arguments);
            continuation::walk(ctx, composer, sock, count, Way::Receive);
        }
    }
    Some(())
}

/// A receive of 0 bytes.
#[inline(always)]
pub fn ended(call: Returned, sock: Walked, counters: Counters) -> Option<()> {
    if receive::is_no_end(sock, call.arguments()) {
        return None;
    }
    receive::end(sock, table::state(sock, counters, 0)?, counters);
    None
}
