//! A signal that is delivered → a record of it.

use membench_bpf_lib::filter;
use membench_common::trace::{counter, kind, program, read};

use crate::{draft, entry::count, part, state};

/// Bytes that are kept of a `siginfo_t`.
const ORIGIN: u64 = 48;

/// The program `signal_deliver`; `origin` is the address of the kernel's `siginfo`, or 0.
#[inline(always)]
pub fn delivered(signal: i32, origin: u64) -> Option<()> {
    if !filter::admits_process() || !state::is_recording() {
        return None;
    }
    let draft = draft::take::<false>(draft::User::Signal)?;
    draft::begin_idle(draft, kind::SIGNAL);
    // SAFETY: a draft that was taken.
    unsafe { (*draft).call.result = i64::from(signal) };
    if origin != 0 {
        part::kernel::<ORIGIN>(draft, read::SIGNAL, origin);
    }
    let done = draft::output(draft);
    count::<false>(
        program::SIGNAL,
        if done {
            counter::ASIDE
        } else {
            counter::ASIDE_RING_FULL
        },
    );
    Some(())
}
