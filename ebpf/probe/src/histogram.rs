//! A value → its bucket, and the histogram of this CPU, which user space maps.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use membench_bpf_lib::{context::cpu, kernel::global};
use membench_common::probe::BUCKETS;

use crate::{settings::SETTINGS, totals};

/// By CPU. User space sets how many there are.
#[btf_map(name = "histogram")]
static HISTOGRAM: Array<[u64; BUCKETS], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Counts a value in a bucket.
#[inline(always)]
pub fn count(bucket: u64) -> Option<()> {
    let buckets = HISTOGRAM.get_ptr_mut(cpu())?.cast::<u64>();
    let index = bucket as usize & (BUCKETS - 1);
    // SAFETY: the map's value outlives the program, and the mask keeps the index inside it.
    totals::add(unsafe { buckets.add(index) }, 1);
    Some(())
}

/// Returns the bucket of a value.
#[inline(always)]
pub fn bucket(value: u64) -> u64 {
    if global(&SETTINGS.step) == 0 {
        power(value)
    } else {
        step(value)
    }
}

/// Returns 0 for negative values, 1 for 0, else 2 and the number of the highest bit.
#[inline(always)]
fn power(value: u64) -> u64 {
    if global(&SETTINGS.signed) != 0 && (value as i64) < 0 {
        return 0;
    }
    if value == 0 {
        return 1;
    }
    // There is no instruction that counts zeros.
    let (mut rest, mut bit) = (value, 0);
    let mut width = 32;
    while width > 0 {
        if rest >> width != 0 {
            rest >>= width;
            bit += width;
        }
        width /= 2;
    }
    2 + bit
}

/// Returns 0 for values below the least, one more than the number of steps for those above, else 1 and the step.
#[inline(always)]
fn step(value: u64) -> u64 {
    let least = global(&SETTINGS.least);
    let is_below = if global(&SETTINGS.signed) != 0 {
        (value as i64) < least
    } else {
        least > 0 && value < least as u64
    };
    if is_below {
        return 0;
    }
    let steps = global(&SETTINGS.steps);
    // The verifier knows that the divisor is not 0; the check keeps LLVM from adding a panic.
    let step = value
        .wrapping_sub(least as u64)
        .checked_div(global(&SETTINGS.step));
    match step {
        Some(step) if step < steps => 1 + step,
        Some(_) | None => 1 + steps,
    }
}
