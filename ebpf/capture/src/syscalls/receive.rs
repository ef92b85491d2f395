//! A receive that returned → what was received, as records.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    counters::Counters,
    kernel::{Probed, Sock},
};
use membench_common::responses;

use super::continuation::{self, Way};
use crate::{
    call::{
        iovec,
        registers::{Arguments, Shape, Syscall},
    },
    follow,
    keep::{
        composer::Composer,
        rules::{self, LONGEST_WHOLE, Moved},
    },
    scratch,
    stream::table,
};

/// Records a receive.
#[inline(always)]
pub fn received(ctx: &BtfTracePointContext, call: Syscall, moved: Moved<Probed>) -> Option<()> {
    let Moved {
        sock,
        counters,
        length,
        time,
    } = moved;
    rules::count_receive(counters, length);
    if follow::is_client() && follow::responses() == responses::NONE {
        return None;
    }
    let state = table::stream_state(sock, counters, length)?;
    let tcp = state.note_receive(sock, counters, length);
    match rules::received_arguments(call.flags(), time, || call.arguments()) {
        Ok(arguments) => {
            let begun = rules::begin_receive(moved, state, tcp, arguments);
            state.dealt = 0;
            let (header, gathers) = begun?;
            let draft = &mut scratch::for_receives::<false>()?.draft;
            let composer = Composer::new(draft, state.received(), counters, header);
            let is_whole = if follow::is_client() {
                length <= LONGEST_WHOLE
            } else {
                gathers
            };
            keep(ctx, composer, sock, arguments, is_whole, Way::Receive);
        }
        Err(cause) => {
            state.dealt = 0;
            rules::lose_receive(moved, state, cause);
        }
    }
    Some(())
}

/// Keeps every byte of a call; of one buffer only the ends, unless `is_whole` or it is small. May continue in another
/// program, and then does not return.
#[inline(always)]
pub fn keep(
    ctx: &BtfTracePointContext,
    mut composer: Composer<'_>,
    sock: Probed,
    arguments: Arguments,
    is_whole: bool,
    way: Way,
) {
    match arguments.shape {
        Shape::Buffer => rules::keep_buffer(&mut composer, arguments, is_whole),
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = iovec::copy(composer.draft, arguments);
            continuation::walk(ctx, composer, sock, count, way);
        }
    }
}

/// Ends the stream after a receive of 0 bytes. Forgets a UNIX-domain socket with it, as no hook sees one close.
#[inline(always)]
pub fn ended(call: Syscall, sock: Probed, counters: Counters) -> Option<()> {
    if !rules::is_end(sock, call.arguments()) {
        return None;
    }
    rules::end(sock, table::stream_state(sock, counters, 0)?, counters);
    if sock.is_unix() {
        table::forget(sock.address);
    }
    Some(())
}
