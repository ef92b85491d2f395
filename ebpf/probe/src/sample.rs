//! A hit of a hook → one more in each count that is asked for.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::HashMap,
    helpers::generated::{bpf_get_attach_cookie, bpf_get_current_comm},
    macros::btf_map,
};
use membench_bpf_lib::{
    context::{now, process, thread},
    kernel::global,
};
use membench_common::probe::{COMM, Group, Grouped, Stack, by, operand, total};

use crate::{
    admission, histogram,
    operands::{self, Operands},
    pairs,
    settings::SETTINGS,
    stacks,
    totals::{self, Totals},
};

/// Hits by process, thread or function, and by bucket. User space sets the size.
#[btf_map(name = "groups")]
static GROUPS: HashMap<Group, Grouped, 1> = HashMap::new();

/// Deals with a hit that stands alone, or with the beginning of a call.
#[inline(always)]
pub fn begin(operands: impl Operands) -> Option<()> {
    let totals = Totals::here()?;
    timed(totals, || {
        if !admission::admits_task() || !admission::admits_socket(operands) {
            return;
        }
        let stack = stacks::current(operands, totals);
        if is_paired() {
            pairs::begin(stack);
        } else {
            count(totals, asked_value(operands), stack, group_task);
        }
    });
    Some(())
}

/// Deals with a hit at one of many functions, each of which has a number.
#[inline(always)]
pub fn each(operands: impl Operands) -> Option<()> {
    let totals = Totals::here()?;
    timed(totals, || {
        if !admission::admits_task() {
            return;
        }
        let stack = stacks::current(operands, totals);
        count(
            totals,
            asked_value(operands),
            stack,
            |bucket, sum, totals| {
                // SAFETY: the verifier checks the context.
                let number = unsafe { bpf_get_attach_cookie(operands.context()) };
                group(number as u32, bucket, sum, totals);
            },
        );
    });
    Some(())
}

/// Deals with the end of a call, or with a hit that stands alone.
#[inline(always)]
pub fn end(operands: impl Operands) -> Option<()> {
    if !is_paired() {
        return begin(operands);
    }
    let totals = Totals::here()?;
    timed(totals, || {
        if !admission::admits_task() {
            return;
        }
        let Some(begun) = pairs::end() else {
            // The beginning of a call on another socket is not noted.
            if !admission::has_ports() {
                totals.add(total::UNPAIRED, 1);
            }
            return;
        };
        let value = if global(&SETTINGS.latency) != 0 {
            Some(Ok(now() - begun.time))
        } else {
            asked_value(operands)
        };
        let stack = if global(&SETTINGS.stacks) != 0 {
            Some(begun.stack)
        } else {
            None
        };
        count(totals, value, stack, group_task);
    });
    Some(())
}

#[inline(always)]
fn is_paired() -> bool {
    global(&SETTINGS.paired) != 0
}

/// Returns the value of the histogram, or that it cannot be read; `None` if none is asked for.
#[inline(always)]
fn asked_value(operands: impl Operands) -> Option<Result<u64, ()>> {
    if global(&SETTINGS.operand) == operand::NONE {
        return None;
    }
    Some(operands::value(operands).ok_or(()))
}

/// Adds a hit to the group of its process or thread, if their counts are kept apart.
#[inline(always)]
fn group_task(bucket: u64, sum: u64, totals: Totals) {
    match global(&SETTINGS.by) {
        by::PROCESS => group(process(), bucket, sum, totals),
        by::THREAD => group(thread(), bucket, sum, totals),
        _ => {}
    }
}

/// Counts a hit; `apart` adds it to its group, by the bucket and the value.
#[inline(always)]
fn count(
    totals: Totals,
    value: Option<Result<u64, ()>>,
    stack: Option<Stack>,
    apart: impl FnOnce(u64, u64, Totals),
) {
    totals.add(total::COUNT, 1);
    let (mut bucket, mut sum) = (0, 0);
    match value {
        Some(Ok(value)) => {
            (bucket, sum) = (histogram::bucket(value), value);
            histogram::count(bucket);
            totals.add(total::SUM, value);
        }
        Some(Err(())) => totals.add(total::UNREADABLE, 1),
        None => {}
    }
    apart(bucket, sum, totals);
    if let Some(stack) = stack {
        stacks::count(stack, totals);
    }
}

#[inline(always)]
fn group(id: u32, bucket: u64, sum: u64, totals: Totals) {
    let group = Group {
        id,
        bucket: bucket as u32,
    };
    if add(group, sum) {
        return;
    }
    let mut grouped = Grouped {
        count: 1,
        sum,
        comm: [0; COMM],
    };
    // SAFETY: the size is that of the name.
    unsafe { bpf_get_current_comm(grouped.comm.as_mut_ptr().cast(), COMM as u32) };
    // Another CPU may have been first.
    if GROUPS
        .insert(group, grouped, u64::from(BPF_NOEXIST))
        .is_err()
        && !add(group, sum)
    {
        totals.add(total::UNGROUPED, 1);
    }
}

/// Adds a hit to a group; returns false if it is not there yet.
#[inline(always)]
fn add(group: Group, sum: u64) -> bool {
    let Some(grouped) = GROUPS.get_ptr_mut(group) else {
        return false;
    };
    // SAFETY: the map's value outlives the program.
    unsafe {
        totals::add(&raw mut (*grouped).count, 1);
        totals::add(&raw mut (*grouped).sum, sum);
    }
    true
}

/// Measures the time of a run, if the kernel may not be asked to.
#[inline(always)]
fn timed(totals: Totals, run: impl FnOnce()) {
    let is_timed = global(&SETTINGS.timed) != 0;
    let begun = if is_timed { now() } else { 0 };
    run();
    if is_timed {
        totals.add(total::RUNS, 1);
        totals.add(total::RUN_TIME, now() - begun);
    }
}
