//! A receive that returned → what memcached read, as records.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::responses;

use super::{
    continuation::{self, Way},
    places::Returned,
    table,
    walk::Walked,
};
use crate::{
    call::{Arguments, Shape},
    kernel,
    maps::{self, Counters},
    receive,
    record::Composer,
    side, socket, vector,
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
    receive::count(counters, length);
    if side::is_client() && kernel::responses() == responses::NONE {
        return None;
    }
    let state = table::state(sock, counters, length)?;
    state.note_receive(sock, counters, length);
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    match receive::arguments(call.flags(), time, || call.arguments()) {
        Ok(arguments) => {
            let begun = receive::begin(sock, state, counters, length, arguments, time);
            state.dealt = 0;
            let (header, gathers) = begun?;
            let scratch = maps::receive_scratch()?;
            let composer = Composer::new(scratch, side::received(state), counters, header);
            let is_whole = if side::is_client() {
                length <= receive::LONGEST_WHOLE
            } else {
                gathers
            };
            keep(ctx, composer, sock, arguments, is_whole, Way::Receive);
        }
        Err(cause) => {
            state.dealt = 0;
            receive::lose(state, counters, length, cause);
        }
    }
    Some(())
}

/// Keeps every byte of a call; of one buffer only the ends, unless `is_whole` or it is small. May go on in another
/// program, and then does not return.
#[inline(always)]
pub fn keep(
    ctx: &BtfTracePointContext,
    composer: Composer,
    sock: Walked,
    arguments: Arguments,
    is_whole: bool,
    way: Way,
) {
    match arguments.shape {
        Shape::Buffer => receive::keep_buffer(composer, arguments, is_whole),
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = vector::copy(composer.scratch, arguments);
            continuation::walk(ctx, composer, sock, count, way);
        }
    }
}

/// A receive of 0 bytes. A UNIX-domain socket is forgotten with it: no hook tells when it is closed.
#[inline(always)]
pub fn ended(call: Returned, sock: Walked, counters: Counters) -> Option<()> {
    if receive::is_no_end(sock, call.arguments()) {
        return None;
    }
    receive::end(sock, table::state(sock, counters, 0)?, counters);
    if socket::is_unix(sock) {
        table::forget(sock.address);
    }
    Some(())
}
