//! Tasks that run on a CPU for which workers wait → who had it meanwhile.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use membench_bpf_lib::{context, kernel::Structure};
use membench_common::observe::{RUNS, SHORT, TASK_PROCESS, counter};

use crate::{
    counters::{self, add_to},
    culprit, place,
};

/// A task's time on a CPU. It begins where the one before ends.
#[repr(C)]
struct Run {
    /// End, CLOCK_MONOTONIC, ns.
    end: u64,
    /// Number of the process; 0 if the CPU was idle.
    process: u64,
}

/// The last runs of a CPU while a worker waited for it.
#[repr(C)]
struct Cpu {
    /// Number of workers that wait.
    waiting: u64,
    /// Number of runs so far.
    count: u64,
    /// Runs, the last at `count - 1` modulo their number.
    runs: [Run; RUNS],
}

/// By CPU. User space sets how many there are.
#[btf_map(name = "cpus")]
static CPUS: Array<Cpu, 1> = Array::new();

/// Notes that one worker more waits for a CPU, or with -1 one less.
#[inline(always)]
pub fn change_waiting(cpu: u32, by: i64) {
    if let Some(cpu) = CPUS.get_ptr_mut(cpu) {
        // SAFETY: a word of a map's value.
        unsafe { add_to(&raw mut (*cpu).waiting, by as u64) };
    }
}

/// Notes that a task's run ends on this CPU, if a worker waits for it.
#[inline(always)]
pub fn note(task: Structure, thread: u32, now: u64) {
    let Some(cpu) = CPUS.get_ptr_mut(context::cpu()) else {
        return;
    };
    // SAFETY: the map's value outlives the program, which the scheduler runs once at a time on a CPU; the index is masked.
    unsafe {
        let count = (*cpu).count;
        (*cpu).count = count + 1;
        let run = (&raw mut (*cpu).runs)
            .cast::<Run>()
            .add(count as usize & (RUNS - 1));
        (*run).end = now;
        (*run).process = process(task, thread);
    }
}

/// True if a worker waits for this CPU.
#[inline(always)]
pub fn are_awaited() -> bool {
    match CPUS.get_ptr_mut(context::cpu()) {
        // SAFETY: a word of a map's value.
        Some(cpu) => unsafe { (&raw const (*cpu).waiting).read_volatile() != 0 },
        None => false,
    }
}

#[inline(always)]
fn process(task: Structure, thread: u32) -> u64 {
    if thread == 0 {
        0
    } else {
        u64::from(place::read::<u32>(task, TASK_PROCESS))
    }
}

/// Charges the tasks that ran on this CPU between two times. The second is now, and `last` the task that ran last.
#[inline(always)]
pub fn charge(last: Structure, thread: u32, from: u64, now: u64) {
    let waited = now.saturating_sub(from);
    if waited < SHORT {
        counters::add(counter::BRIEF, waited);
        return;
    }
    let Some(cpu) = CPUS.get_ptr_mut(context::cpu()) else {
        return;
    };
    // SAFETY: as above. A run that began before the wait ends after it did; older ones end before it.
    let (count, begin) = unsafe {
        let count = (*cpu).count;
        (count, end_of(cpu, count, 2).max(from))
    };
    culprit::charge_task(last, process(last, thread) as u32, now - begin);
    let mut end = begin;
    let mut back = 2;
    while back < RUNS as u64 {
        if end <= from || back >= count {
            break;
        }
        // SAFETY: as above.
        let (process, begin) = unsafe {
            let run = (&raw const (*cpu).runs)
                .cast::<Run>()
                .add((count - back) as usize & (RUNS - 1));
            (
                (*run).process as u32,
                end_of(cpu, count, back + 1).max(from),
            )
        };
        if end > begin {
            culprit::charge(process, end - begin);
            end = begin;
        }
        back += 1;
    }
    if end > from {
        counters::add(counter::UNKNOWN, end - from);
    }
}

/// Returns the end of the run that is `back` runs ago.
///
/// # Safety
///
/// The CPU is a map's value.
#[inline(always)]
unsafe fn end_of(cpu: *const Cpu, count: u64, back: u64) -> u64 {
    let index = count.wrapping_sub(back) as usize & (RUNS - 1);
    // SAFETY: the caller's, and the index is masked.
    unsafe { (*(&raw const (*cpu).runs).cast::<Run>().add(index)).end }
}
