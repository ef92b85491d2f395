//! A hit → the stack that led to it, by numbers.

use aya_ebpf::{
    bindings::{BPF_F_USER_STACK, BPF_NOEXIST},
    btf_maps::{HashMap, StackTrace},
    helpers::generated::bpf_get_stackid,
    macros::btf_map,
};
use membench_bpf_lib::{context, kernel::global};
use membench_common::probe::{Stack, total};

use crate::{
    operands::Operands,
    settings::SETTINGS,
    totals::{self, Totals},
};

/// `EFAULT`, which a task without memory of its own has instead of a stack.
const EFAULT: i64 = 14;

/// Addresses, by the number of their stack. User space sets how many there are.
#[btf_map(name = "frames")]
static FRAMES: StackTrace<1> = StackTrace::new();

/// Hits of a stack. User space sets how many there are.
#[btf_map(name = "stacks")]
static STACKS: HashMap<Stack, u64, 1> = HashMap::new();

/// Returns the current stack; `None` if stacks are not asked for.
#[inline(always)]
pub fn current(operands: impl Operands, totals: Totals) -> Option<Stack> {
    if global(&SETTINGS.stacks) == 0 {
        return None;
    }
    let kernel = number(operands, 0);
    let user = number(operands, u64::from(BPF_F_USER_STACK));
    if is_lost(kernel) || is_lost(user) {
        totals.add(total::UNSTACKED, 1);
    }
    Some(Stack {
        process: context::process(),
        kernel: kernel as i32,
        user: user as i32,
        padding: 0,
    })
}

/// Counts a hit of a stack.
#[inline(always)]
pub fn count(stack: Stack, totals: Totals) {
    if let Some(count) = STACKS.get_ptr_mut(stack) {
        totals::add(count, 1);
        return;
    }
    // Another CPU may have been first.
    if STACKS.insert(stack, 1, u64::from(BPF_NOEXIST)).is_err() {
        match STACKS.get_ptr_mut(stack) {
            Some(count) => totals::add(count, 1),
            None => totals.add(total::UNSTACKED, 1),
        }
    }
}

#[inline(always)]
fn number(operands: impl Operands, flags: u64) -> i64 {
    // SAFETY: the verifier checks the context and the map.
    unsafe {
        bpf_get_stackid(
            operands.context(),
            (&raw const FRAMES).cast_mut().cast(),
            flags,
        )
    }
}

/// True if there is a stack that could not be kept: another one has its place, or there is no place left.
#[inline(always)]
fn is_lost(number: i64) -> bool {
    number < 0 && number != -EFAULT
}
