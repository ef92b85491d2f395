//! A send that returned → what memcached answered, as records.

use aya_ebpf::programs::BtfTracePointContext;
use membench_common::responses;

use super::{
    continuation::{self, Way},
    places::Returned,
    receive, table,
    walk::Walked,
};
use crate::{
    call::Arguments,
    kernel,
    maps::{self, Counters},
    receive::LONGEST_WHOLE,
    record::Composer,
    response, send, side,
};

/// A send of `length` bytes.
#[inline(always)]
pub fn sent(
    ctx: &BtfTracePointContext,
    call: Returned,
    sock: Walked,
    counters: Counters,
    length: u32,
) -> Option<()> {
    send::count(counters, length);
    if !side::is_client() && kernel::responses() == responses::NONE {
        return None;
    }
    let state = table::state(sock, counters, length)?;
    state.note_send(sock, counters, length);
    let header = send::begin(sock, state, counters, length)?;
    let composer = Composer::new(
        maps::receive_scratch()?,
        side::sent(state),
        counters,
        header,
    );
    if !side::is_client() && kernel::responses() == responses::LENGTHS {
        composer.add_nothing(u64::from(length));
        composer.emit();
        return Some(());
    }
    match call.arguments() {
        Ok(arguments) if side::is_client() => {
            let is_whole = length <= LONGEST_WHOLE;
            receive::keep(ctx, composer, sock, arguments, is_whole, Way::Send);
        }
        Ok(arguments) => keep(ctx, sock, composer, length, arguments),
        Err(cause) => side::sent(state).lose(counters, cause, u64::from(length)),
    }
    Some(())
}

#[inline(always)]
fn keep(
    ctx: &BtfTracePointContext,
    sock: Walked,
    composer: Composer,
    length: u32,
    arguments: Arguments,
) {
    let (address, in_first, count) = send::first(composer.scratch, arguments, length);
    if in_first >= u64::from(length) {
        response::add(composer, address, u64::from(length), 0);
        composer.emit();
    } else {
        continuation::walk(ctx, composer, sock, count, Way::Send);
    }
}
