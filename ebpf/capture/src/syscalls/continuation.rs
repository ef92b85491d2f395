//! A call with many iovecs → parts, so many in each program.

use aya_ebpf::{btf_maps::ProgramArray, macros::btf_map, programs::BtfTracePointContext};
use membench_common::program;

use super::{table, walk::Walked};
use crate::{
    maps::{self, Counters},
    receive,
    record::Composer,
    send, side,
};

/// Iovecs a program takes; 33 programs, as many as the kernel lets follow each other, take those of any call.
const STEPS: u32 = 32;

/// Those in `program::CONTINUATIONS`.
#[btf_map(name = "continuations")]
static CONTINUATIONS: ProgramArray<{ program::CONTINUATIONS.len() }> = ProgramArray::new();

/// What a call does.
#[derive(Clone, Copy)]
pub enum Way {
    Receive,
    Send,
}

/// Where it goes on: an index into `program::CONTINUATIONS`.
#[derive(Clone, Copy)]
pub enum Next {
    MoreReceived = 0,
    MoreSent = 1,
    Messages = 2,
    MessagesReceived = 3,
    MessagesSent = 4,
}

/// Goes on in another program. Returns only where no more may follow.
#[inline(always)]
pub fn go_to(ctx: &BtfTracePointContext, next: Next) {
    // SAFETY: the verifier checks context and map.
    unsafe { CONTINUATIONS.tail_call(ctx, next as u32) };
}

/// Adds the parts of the `count` iovecs in the scratch space, in the programs that follow: with both ways of keeping
/// them this one would be too long.
#[inline(always)]
pub fn walk(ctx: &BtfTracePointContext, composer: Composer, sock: Walked, count: u64, way: Way) {
    composer.progress().walk.count = count;
    // SAFETY: a map's value that only this program on this CPU uses.
    unsafe { (*composer.scratch).walked = sock };
    follow(ctx, composer, way);
}

#[inline(always)]
fn follow(ctx: &BtfTracePointContext, composer: Composer, way: Way) {
    go_to(
        ctx,
        match way {
            Way::Receive => Next::MoreReceived,
            Way::Send => Next::MoreSent,
        },
    );
    composer.finish();
}

/// Adds as much of the current iovec as is kept; 1 when there is none.
#[inline(always)]
pub fn keep_part(composer: Composer, way: Way) -> i64 {
    match way {
        Way::Send if !side::is_client() => send::keep_part(composer),
        Way::Receive | Way::Send => receive::keep_part(composer),
    }
}

#[inline(always)]
fn go_on(ctx: &BtfTracePointContext, composer: Composer, way: Way) {
    for _ in 0..STEPS {
        if keep_part(composer, way) != 0 {
            return composer.finish();
        }
    }
    follow(ctx, composer, way);
}

/// The program `more_received`.
#[inline(always)]
pub fn more_received(ctx: &BtfTracePointContext) -> Option<()> {
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    let state = table::at(unsafe { (*scratch).walked.address })?;
    let counters = Counters::of(program::RECEIVE)?;
    go_on(
        ctx,
        Composer::again(scratch, side::received(state), counters),
        Way::Receive,
    );
    Some(())
}

/// The program `more_sent`.
#[inline(always)]
pub fn more_sent(ctx: &BtfTracePointContext) -> Option<()> {
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    let state = table::at(unsafe { (*scratch).walked.address })?;
    let counters = Counters::of(program::RECEIVE)?;
    go_on(
        ctx,
        Composer::again(scratch, side::sent(state), counters),
        Way::Send,
    );
    Some(())
}
