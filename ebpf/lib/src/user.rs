//! User memory → bytes here, with bounds that the verifier can see.

use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_probe_read_user;

/// Reads `size` bytes, at most `LIMIT`, from user space. Returns false if they could not be read.
#[inline(always)]
pub fn read_user<const LIMIT: u64>(to: *mut u8, size: u64, from: u64) -> bool {
    let size = bounded::<LIMIT>(size) as u32;
    // SAFETY: the verifier checks `size` against the memory at `to`; the helper accepts any `from`.
    unsafe { bpf_probe_read_user(to.cast(), size, from as *const _) == 0 }
}

/// Returns a zero that LLVM cannot see through. LLVM merges neighbouring stores of constant zeros into `memset`, which
/// on BPF is a byte-by-byte loop.
#[inline(always)]
pub fn zero() -> u64 {
    let mut zero = 0_u64;
    // SAFETY: moves a register into itself.
    unsafe { asm!("{0} = {0}", inout(reg) zero, options(pure, nomem, nostack, preserves_flags)) };
    zero
}

/// Returns the value, at most `LIMIT`, with a comparison that LLVM can neither remove nor hoist: the verifier sees the
/// bound where the value is used.
#[inline(always)]
pub fn bounded<const LIMIT: u64>(mut value: u64) -> u64 {
    // SAFETY: moves a register into itself. An empty template would leave two line entries for the next instruction,
    // which the kernel rejects.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags)) };
    if value > LIMIT { LIMIT } else { value }
}
