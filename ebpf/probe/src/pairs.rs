//! The beginning of a call ↔ its end, by thread.

use aya_ebpf::{
    bindings::BPF_ANY, btf_maps::LruHashMap, helpers::generated::bpf_get_current_pid_tgid,
    macros::btf_map,
};
use membench_bpf_lib::context::{cpu, now};
use membench_common::probe::Stack;

/// Marks the key of an idle CPU, whose task has the same number on each.
const IDLE: u64 = 1 << 63;

/// A call that has begun.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Begun {
    /// Time, ns.
    pub time: u64,
    /// The stack that led to it.
    pub stack: Stack,
}

/// By thread: the call that began last. A call inside one of the same kind takes its place, and the end of the outer
/// one is then unpaired. Threads that die in a call are forgotten in time. User space sets the size.
#[btf_map(name = "begun")]
static BEGUN: LruHashMap<u64, Begun, 1> = LruHashMap::new();

/// Notes that a call begins.
#[inline(always)]
pub fn begin(stack: Option<Stack>) {
    let stack = stack.unwrap_or(Stack {
        process: 0,
        kernel: -1,
        user: -1,
        padding: 0,
    });
    let begun = Begun { time: now(), stack };
    // A full map forgets its oldest key.
    let _ = BEGUN.insert(thread(), begun, u64::from(BPF_ANY));
}

/// Takes the beginning of the call that ends; `None` if it is not known.
#[inline(always)]
pub fn end() -> Option<Begun> {
    let thread = thread();
    // SAFETY: only the thread's own calls touch its entry.
    let begun = BEGUN.get_ptr(thread).map(|begun| unsafe { *begun })?;
    let _ = BEGUN.remove(thread);
    Some(begun)
}

#[inline(always)]
fn thread() -> u64 {
    // SAFETY: takes no arguments.
    match unsafe { bpf_get_current_pid_tgid() } {
        0 => IDLE | u64::from(cpu()),
        thread => thread,
    }
}
