//! The iovecs of a call → parts, one a turn of `bpf_loop`.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use membench_bpf_lib::abi::IOVECS;
use membench_common::RECORDS_PER_CALL;

use crate::keep::{composer::Composer, rules};

/// A turn of the loop; returns 1 to stop.
type Turn = extern "C" fn(u64, *mut Composer<'_>) -> i64;

/// Keeps every byte of the draft's `count` iovecs. A turn ends with an iovec or with a full record.
#[inline(always)]
pub fn keep_whole(composer: Composer<'_>, count: u64) {
    walk(
        composer,
        count,
        IOVECS as u32 + RECORDS_PER_CALL,
        keep_whole_part,
    );
}

/// Keeps what a response's outcome needs of the draft's `count` iovecs. A turn ends with an iovec.
#[inline(always)]
pub fn keep_response(composer: Composer<'_>, count: u64) {
    walk(composer, count, IOVECS as u32, keep_response_part);
}

#[inline(always)]
fn walk(mut composer: Composer<'_>, count: u64, turns: u32, turn: Turn) {
    composer.draft.progress.walk.count = count;
    let context = &raw mut composer;
    // SAFETY: the verifier checks the callback, and that the context is on this stack.
    unsafe { bpf_loop(turns, turn as *mut c_void, context.cast(), 0) };
    composer.finish();
}

extern "C" fn keep_whole_part(_: u64, context: *mut Composer<'_>) -> i64 {
    // SAFETY: `walk` passes a composer.
    rules::keep_whole_part(&mut unsafe { &mut *context }.reborrow())
}

extern "C" fn keep_response_part(_: u64, context: *mut Composer<'_>) -> i64 {
    // SAFETY: `walk` passes a composer.
    rules::keep_response_part(&mut unsafe { &mut *context }.reborrow())
}
