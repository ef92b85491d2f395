//! A call with many iovecs → parts, so many in each program.

use aya_ebpf::{btf_maps::ProgramArray, macros::btf_map, programs::BtfTracePointContext};
use membench_common::program;

use super::{table, walk::Walked};
use crate::{
    maps::{self, Counters},
    receive,
    record::Composer,
    send,
};

/// Iovecs a program takes; 33 programs, as many as the kernel lets follow each other, take those of any call.
const STEPS: u32 = 32;

/// Those in `program::CONTINUATIONS`.
#[btf_map(name = "continuations")]
static CONTINUATIONS: ProgramArray<{ program::CONTINUATIONS.len() }> = ProgramArray::new();

/// What a call does: an index into `program::CONTINUATIONS`.
#[derive(Clone, Copy)]
pub enum Way {
    Receive = 0,
    Send = 1,
}

/// Adds the parts of the `count` iovecs in the scratch space, here and in the programs that follow.
#[inline(always)]
pub fn walk(ctx: &BtfTracePointContext, composer: Composer, sock: Walked, count: u64, way: Way) {
    composer.progress().walk.count = count;
    // SAFETY: a map's value that only this program on this CPU uses.
    unsafe { (*composer.scratch).sock = sock.address };
    go_on(ctx, composer, way);
}

#[inline(always)]
fn go_on(ctx: &BtfTracePointContext, composer: Composer, way: Way) {
    for _ in 0..STEPS {
        let done = match way {
            Way::Receive => receive::keep_part(composer),
            Way::Send => send::keep_part(composer),
        };
        if done != 0 {
            return composer.finish();
        }
    }
    // SAFETY: the verifier checks context and map. It returns only where no more programs may follow.
    unsafe { CONTINUATIONS.tail_call(ctx, way as u32) };
    composer.finish();
}

/// The program `more_received`.
#[inline(always)]
pub fn more_received(ctx: &BtfTracePointContext) -> Option<()> {
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    let state = table::at(unsafe { (*scratch).sock })?;
    let counters = Counters::of(program::RECEIVE)?;
    go_on(
        ctx,
        Composer::again(scratch, &raw mut state.request, counters),
        Way::Receive,
    );
    Some(())
}

/// The program `more_sent`.
#[inline(always)]
pub fn more_sent(ctx: &BtfTracePointContext) -> Option<()> {
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    let state = table::at(unsafe { (*scratch).sock })?;
    let counters = Counters::of(program::RECEIVE)?;
    go_on(
        ctx,
        Composer::again(scratch, &raw mut state.response, counters),
        Way::Send,
    );
    Some(())
}
