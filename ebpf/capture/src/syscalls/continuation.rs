//! A call with many iovecs → parts, some in each program.

use aya_ebpf::{btf_maps::ProgramArray, macros::btf_map, programs::BtfTracePointContext};
use membench_bpf_lib::{counters::Counters, kernel::Probed};
use membench_common::program::{self, continuation};

use crate::{
    follow,
    keep::{composer::Composer, rules},
    scratch,
    stream::table,
};

/// Iovecs that a program takes. The kernel lets 33 programs follow each other, which together take those of any call.
const STEPS: u32 = 32;

/// The programs in [`program::CONTINUATIONS`].
#[btf_map(name = "continuations")]
static CONTINUATIONS: ProgramArray<{ program::CONTINUATIONS.len() }> = ProgramArray::new();

/// The way a call moves bytes.
#[derive(Clone, Copy)]
pub enum Way {
    Receive,
    Send,
}

/// Continues in another program, one of [`continuation`]. Returns only if no more programs may follow.
#[inline(always)]
pub fn go_to(ctx: &BtfTracePointContext, program: u32) {
    // SAFETY: the verifier checks context and map.
    unsafe { CONTINUATIONS.tail_call(ctx, program) };
}

/// Keeps the draft's `count` iovecs in the programs that follow. With both ways of keeping them, this one would be
/// too long.
#[inline(always)]
pub fn walk(
    ctx: &BtfTracePointContext,
    composer: Composer<'_>,
    sock: Probed,
    count: u64,
    way: Way,
) {
    composer.draft.progress.walk.count = count;
    composer.draft.sock = sock;
    go_on(ctx, composer, way);
}

#[inline(always)]
fn go_on(ctx: &BtfTracePointContext, mut composer: Composer<'_>, way: Way) {
    go_to(
        ctx,
        match way {
            Way::Receive => continuation::MORE_RECEIVED,
            Way::Send => continuation::MORE_SENT,
        },
    );
    composer.finish();
}

/// Appends as much of the current iovec as is kept; returns 1 after the last iovec.
#[inline(always)]
pub fn keep_part(composer: &mut Composer<'_>, way: Way) -> i64 {
    match way {
        Way::Send if !follow::is_client() => rules::keep_response_part(composer),
        Way::Receive | Way::Send => rules::keep_whole_part(composer),
    }
}

#[inline(always)]
fn keep_parts(ctx: &BtfTracePointContext, mut composer: Composer<'_>, way: Way) {
    for _ in 0..STEPS {
        if keep_part(&mut composer, way) != 0 {
            return composer.finish();
        }
    }
    go_on(ctx, composer, way);
}

/// The program `more_received`.
#[inline(always)]
pub fn more_received(ctx: &BtfTracePointContext) -> Option<()> {
    let draft = &mut scratch::for_receives::<false>()?.draft;
    let state = table::find(draft.sock.address)?;
    let counters = Counters::for_program(program::RECEIVE)?;
    let composer = Composer::resume(draft, state.received(), counters);
    keep_parts(ctx, composer, Way::Receive);
    Some(())
}

/// The program `more_sent`.
#[inline(always)]
pub fn more_sent(ctx: &BtfTracePointContext) -> Option<()> {
    let draft = &mut scratch::for_receives::<false>()?.draft;
    let state = table::find(draft.sock.address)?;
    let counters = Counters::for_program(program::RECEIVE)?;
    let composer = Composer::resume(draft, state.sent(), counters);
    keep_parts(ctx, composer, Way::Send);
    Some(())
}
