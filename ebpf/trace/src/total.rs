//! A call that returned → the totals of its kind on this CPU.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use membench_bpf_lib::{context::cpu, kernel::global};
use membench_common::trace::{NUMBERS, total};

/// 1 to add calls up instead of recording each.
#[unsafe(no_mangle)]
static TOTALS: u32 = 0;

/// One stripe a CPU: a value a call. User space sets how many CPUs there are.
#[btf_map(name = "totals")]
static ALL: Array<[u64; total::COUNT], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// True if calls are added up instead of being recorded.
#[inline(always)]
pub fn are_wanted() -> bool {
    global(&TOTALS) != 0
}

/// Adds a call.
#[inline(always)]
pub fn add(number: u32, failed: bool, time: u64) {
    let Some(totals) = ALL.get_ptr_mut(cpu() * NUMBERS as u32 + number) else {
        return;
    };
    // SAFETY: the map's value outlives the program, and only programs for this call on this CPU write it.
    unsafe {
        let totals = totals.cast::<u64>();
        increase(totals.add(total::CALLS), 1);
        increase(totals.add(total::ERRORS), u64::from(failed));
        increase(totals.add(total::TIME), time);
        let longest = totals.add(total::LONGEST);
        if longest.read_volatile() < time {
            longest.write_volatile(time);
        }
    }
}

#[inline(always)]
unsafe fn increase(place: *mut u64, amount: u64) {
    // SAFETY: the caller's.
    unsafe { place.write_volatile(place.read_volatile() + amount) };
}
