//! A send that returned → what was sent, as records.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::kernel::Probed;
use membench_common::responses;

use super::{
    continuation::{self, Way},
    receive,
};
use crate::{
    call::registers::{Arguments, Syscall},
    follow,
    keep::{
        composer::Composer,
        response,
        rules::{self, LONGEST_WHOLE, Moved},
    },
    scratch,
    stream::table,
};

/// Records a send.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext, call: Syscall, moved: Moved<Probed>) -> Option<()> {
    let Moved {
        sock,
        counters,
        length,
        time: _,
    } = moved;
    rules::count_send(counters, length);
    if !follow::is_client() && follow::responses() == responses::NONE {
        return None;
    }
    let state = table::stream_state(sock, counters, length)?;
    state.note_send(sock, counters, length);
    let header = rules::begin_send(moved, state)?;
    let draft = &mut scratch::for_receives::<false>()?.draft;
    let mut composer = Composer::new(draft, state.sent(), counters, header);
    if !follow::is_client() && follow::responses() == responses::LENGTHS {
        composer.add_nothing(u64::from(length));
        composer.emit();
        return Some(());
    }
    match call.arguments() {
        Ok(arguments) if follow::is_client() => {
            let is_whole = length <= LONGEST_WHOLE;
            receive::keep(ctx, composer, sock, arguments, is_whole, Way::Send);
        }
        Ok(arguments) => keep(ctx, composer, sock, arguments, length),
        Err(cause) => state.sent().lose(counters, cause, u64::from(length)),
    }
    Some(())
}

#[inline(always)]
fn keep(
    ctx: &BtfTracePointContext,
    mut composer: Composer<'_>,
    sock: Probed,
    arguments: Arguments,
    length: u32,
) {
    let (address, in_first, count) = rules::first_buffer(composer.draft, arguments, length);
    if in_first >= u64::from(length) {
        response::add(&mut composer, address, u64::from(length), 0);
        composer.emit();
    } else {
        continuation::walk(ctx, composer, sock, count, Way::Send);
    }
}
