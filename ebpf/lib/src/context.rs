//! A running program → its CPU, the time, and the thread it interrupted or runs for.

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_jiffies64, bpf_ktime_get_ns,
};

/// Returns the index of this CPU.
#[inline(always)]
pub fn cpu() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { bpf_get_smp_processor_id() }
}

/// Returns the time, CLOCK_MONOTONIC, ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// Returns the lower half of the kernel's count of jiffies.
#[inline(always)]
pub fn jiffies() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { bpf_jiffies64() as u32 }
}

/// Returns the id of the current thread in the initial pid namespace.
#[inline(always)]
pub fn thread() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { bpf_get_current_pid_tgid() as u32 }
}

/// Returns the id of the current process in the initial pid namespace.
#[inline(always)]
pub fn process() -> u32 {
    // SAFETY: takes no arguments.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}
