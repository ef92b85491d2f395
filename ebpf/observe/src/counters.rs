//! An amount → the counters of this CPU, which user space maps.

use core::arch::asm;

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use membench_bpf_lib::context::cpu;
use membench_common::observe::counter::STRIDE;

/// By CPU. User space sets how many there are.
#[btf_map(name = "amounts")]
static COUNTERS: Array<[u64; STRIDE], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Adds to a counter, one of [`counter`](membench_common::observe::counter). Several programs do, and can interrupt each
/// other, so the addition is atomic.
#[inline(always)]
pub fn add(counter: usize, amount: u64) {
    let Some(counters) = COUNTERS.get_ptr_mut(cpu()) else {
        return;
    };
    let index = counter & (STRIDE - 1);
    // SAFETY: the map's value outlives the program, and the mask keeps the index inside it.
    unsafe { add_to(counters.cast::<u64>().add(index), amount) };
}

/// Adds to a word at once.
///
/// # Safety
///
/// The word is in a map's value.
#[inline(always)]
pub unsafe fn add_to(word: *mut u64, amount: u64) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "lock *(u64 *)({0} + 0) += {1}",
            in(reg) word, in(reg) amount,
            options(nostack, preserves_flags)
        );
    }
}
