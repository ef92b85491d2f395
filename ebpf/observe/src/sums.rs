//! The parts of a request's time → sums and histograms, by worker and by class of command.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use membench_bpf_lib::{context::cpu, kernel::global};
use membench_common::observe::{Account, BUCKETS, DETAIL, class::STRIDE, part};

/// By CPU and class. User space sets how many there are: one if requests are not grouped by command.
#[btf_map(name = "commands")]
static COMMANDS: Array<Account, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Returns the sums of a class on this CPU. The program that adds to them runs once at a time on a CPU.
#[inline(always)]
pub fn of_class(class: usize) -> Option<*mut Account> {
    COMMANDS.get_ptr_mut(cpu() * STRIDE as u32 + class as u32)
}

/// Adds a request to its worker's sums, and to those of its class if there are any.
///
/// # Safety
///
/// Both are in map's values that nobody else writes meanwhile.
#[inline(always)]
pub unsafe fn add(worker: *mut Account, class: Option<*mut Account>, parts: &[u64; part::COUNT]) {
    let mut part = 0;
    while part < part::COUNT {
        let time = parts[part];
        if time != 0 {
            let bucket = bucket(time) & (BUCKETS - 1);
            // SAFETY: the caller's; the indices are inside.
            unsafe {
                add_time(worker, part, bucket, time);
                if let Some(class) = class {
                    add_time(class, part, bucket, time);
                }
            }
        }
        part += 1;
    }
    // SAFETY: the caller's.
    unsafe {
        (*worker).requests += 1;
        if let Some(class) = class {
            (*class).requests += 1;
        }
    }
}

/// Adds a time to a part.
///
/// # Safety
///
/// The account is in a map's value, and `bucket` is masked.
#[inline(always)]
unsafe fn add_time(account: *mut Account, part: usize, bucket: usize, time: u64) {
    // SAFETY: the caller's.
    unsafe {
        (*account).sums[part] += time;
        let histogram = (&raw mut (*account).histograms[part]).cast::<u32>();
        *histogram.add(bucket) += 1;
    }
}

/// Returns the bucket of a time: each power of two has as many of the same width.
#[inline(always)]
pub fn bucket(time: u64) -> usize {
    if time < 1 << DETAIL {
        return time as usize;
    }
    let bit = highest_bit(time);
    let power = bit - DETAIL;
    let step = (time >> power) & ((1 << DETAIL) - 1);
    ((power as usize + 1) << DETAIL) + step as usize
}

/// Returns the position of the highest bit of a number that is not 0.
///
/// There is no instruction that counts zeros, and branches that depend on the number are guessed wrong. All bits below the
/// highest are set, which leaves 64 numbers; their products with a de Bruijn sequence differ in the upper six bits.
#[inline(always)]
fn highest_bit(number: u64) -> u32 {
    let mut filled = number;
    let mut width = 1;
    while width < 64 {
        filled |= filled >> width;
        width *= 2;
    }
    u32::from(global(
        &POSITIONS[(filled.wrapping_mul(SEQUENCE) >> 58) as usize & 63],
    ))
}

/// A de Bruijn sequence: each run of six bits is another number.
const SEQUENCE: u64 = 0x03f7_9d71_b4cb_0a89;
/// Position of the highest bit, by the upper six bits of the product.
static POSITIONS: [u8; 64] = positions();

const fn positions() -> [u8; 64] {
    let mut positions = [0; 64];
    let mut bit = 0;
    while bit < 64 {
        let filled = u64::MAX >> (63 - bit);
        positions[(filled.wrapping_mul(SEQUENCE) >> 58) as usize] = bit as u8;
        bit += 1;
    }
    positions
}
