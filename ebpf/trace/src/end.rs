//! A thread that ends → a record of its exit code, and of the call it was in.

use membench_bpf_lib::{
    context, filter,
    kernel::{Structure, global},
};
use membench_common::trace::{self, NO_CALL, counter, kind, program};

use crate::{draft, entry::count, state};

/// Offsets of [`trace::PATHS`].
#[unsafe(no_mangle)]
static TRACE_MEMBERS: [u32; trace::COUNT] = [0; trace::COUNT];

/// Returns the offset of a member in its structure, by its index in [`trace`].
#[inline(always)]
pub fn offset(member: usize) -> usize {
    global(&TRACE_MEMBERS[member]) as usize
}

/// The program `sched_process_exit`.
#[inline(always)]
pub fn ended(task: Structure) -> Option<()> {
    if !filter::admits_process() || !state::is_recording() {
        return None;
    }
    let code = task.read_offset::<i32>(offset(trace::TASK_EXIT_CODE));
    let draft = draft::take::<false>(draft::User::End)?;
    let is_in_call = match state::current() {
        Some(state) => {
            // SAFETY: a draft that was taken, and the thread's state.
            unsafe {
                draft::begin(draft, state, kind::END, context::now());
                (*state).number != NO_CALL
            }
        }
        None => {
            draft::begin_idle(draft, kind::END);
            false
        }
    };
    // SAFETY: a draft that was taken.
    unsafe { (*draft).call.result = i64::from(code) };
    let counted = match (draft::output(draft), is_in_call) {
        (true, true) => counter::SHOWN,
        (false, true) => counter::RING_FULL,
        (true, false) => counter::ASIDE,
        (false, false) => counter::ASIDE_RING_FULL,
    };
    count::<false>(program::END, counted);
    state::forget();
    Some(())
}
