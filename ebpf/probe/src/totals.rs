//! An amount → the totals of this CPU, which user space maps.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use membench_bpf_lib::context::cpu;
use membench_common::probe::total::STRIDE;

/// By CPU. User space sets how many there are.
#[btf_map(name = "totals")]
static TOTALS: Array<[u64; STRIDE], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The totals of this CPU.
#[derive(Clone, Copy)]
pub struct Totals(*mut u64);

impl Totals {
    #[inline(always)]
    pub fn here() -> Option<Self> {
        TOTALS.get_ptr_mut(cpu()).map(|totals| Self(totals.cast()))
    }

    /// Adds to one of [`total`](membench_common::probe::total).
    #[inline(always)]
    pub fn add(self, total: u32, amount: u64) {
        let index = total as usize & (STRIDE - 1);
        // SAFETY: the map's value outlives the program, and the mask keeps the index inside it.
        add(unsafe { self.0.add(index) }, amount);
    }
}

/// Adds to a word of a map. A task can be preempted inside a program for user space, and another one run the same
/// program on that CPU, so additions are atomic.
#[inline(always)]
pub fn add(word: *mut u64, amount: u64) {
    // SAFETY: callers pass an aligned word of a map's value. Kernels before 5.12 have only the form that returns
    // nothing.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({0} + 0) += {1}",
            in(reg) word, in(reg) amount,
            options(nostack, preserves_flags)
        );
    }
}
