//! An amount → the running program's counters on this CPU, which user space maps and sums.

use core::arch::asm;

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use membench_common::{counter, program};

use crate::context::cpu;

/// One stripe a CPU and program: `program::COUNT` entries a CPU. User space sets how many CPUs there are.
#[btf_map(name = "counters")]
static COUNTERS: Array<[u64; counter::STRIDE], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The counters that only one program on one CPU writes. A program never interrupts itself, so plain additions suffice.
#[derive(Clone, Copy)]
pub struct Counters(*mut [u64; counter::STRIDE]);

impl Counters {
    /// Returns this CPU's counters of `program`, one of [`program`].
    #[inline(always)]
    pub fn for_program(program: u32) -> Option<Self> {
        COUNTERS
            .get_ptr_mut(cpu() * program::COUNT + program)
            .map(Self)
    }

    /// Adds `amount` to `counter`, one of [`counter`].
    #[inline(always)]
    pub fn add(self, counter: u32, amount: u64) {
        let index = counter as usize & (counter::STRIDE - 1);
        // SAFETY: the map's value outlives the program, and the mask keeps the index inside it.
        unsafe {
            let place = self.0.cast::<u64>().add(index);
            place.write_volatile(place.read_volatile() + amount);
        }
    }

    /// Adds `amount` to `counter` at once, for programs that share their counters and can preempt each other.
    #[inline(always)]
    pub fn add_shared(self, counter: u32, amount: u64) {
        let index = counter as usize & (counter::STRIDE - 1);
        // SAFETY: the map's value outlives the program, and the mask keeps the index inside it.
        unsafe {
            let place = self.0.cast::<u64>().add(index);
            asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) place, in(reg) amount, options(nostack));
        }
    }
}
