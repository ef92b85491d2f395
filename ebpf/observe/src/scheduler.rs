//! Switches and wake-ups of tasks → the clocks of workers, and the tasks for which they waited.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    context::{self, now, thread},
    kernel::{Structure, global},
};
use membench_common::{
    field,
    observe::{TASK_CPU, TASK_THREAD, counter, state},
};

use crate::{
    counters,
    place::{self, CALLS},
    runs,
    worker::{self, Seat},
};

/// Position of `task_struct.in_iowait`, bits.
#[unsafe(no_mangle)]
static DISK_BIT: u32 = 0;

/// `TASK_UNINTERRUPTIBLE`. <https://github.com/torvalds/linux/blob/v6.12/include/linux/sched.h#L98-L123>
const UNINTERRUPTIBLE: u32 = 2;
/// `__TASK_STOPPED` and `__TASK_TRACED`.
const STOPPED: u32 = 4 | 8;

/// The program `switched`.
#[inline(always)]
pub fn switched(ctx: &BtfTracePointContext) -> Option<()> {
    let last = Structure::new(ctx.arg(1))?;
    let next = Structure::new(ctx.arg(2))?;
    let last_thread = place::read::<u32>(last, TASK_THREAD);
    let next_thread = place::read::<u32>(next, TASK_THREAD);
    let (last_worker, next_worker) = (Seat::of_thread(last_thread), Seat::of_thread(next_thread));
    let are_awaited = runs::are_awaited();
    if last_worker.is_none() && next_worker.is_none() && !are_awaited {
        return None;
    }
    for worker in [last_worker, next_worker].into_iter().flatten() {
        worker.begin_change();
    }
    let now = now();
    if are_awaited {
        runs::note(last, last_thread, now);
    }
    if let Some(worker) = last_worker {
        worker.note_untold(now);
        let is_preempted = ctx.arg::<u64>(0) as u8 != 0;
        let reason = ctx.arg::<u32>(3);
        if is_preempted || reason == 0 {
            worker.enter(state::PREEMPTED, now);
            worker.wait_for(context::cpu());
        } else {
            worker.enter(sleep(last, reason), now);
        }
    }
    if let Some(worker) = next_worker {
        let (state, since) = worker.state();
        worker.enter(state::RUNNING, now);
        let has_stayed = worker.stop_waiting();
        if state == state::WOKEN || state == state::PREEMPTED {
            if has_stayed {
                runs::charge(last, last_thread, since, now);
            } else {
                // It was moved: who ran on this CPU meanwhile was not noted.
                counters::add(counter::UNKNOWN, now.saturating_sub(since));
            }
        }
    }
    Some(())
}

/// Returns the state of a thread that goes to sleep.
#[inline(always)]
fn sleep(task: Structure, reason: u32) -> usize {
    if reason & STOPPED != 0 {
        return state::STOPPED;
    }
    if reason & UNINTERRUPTIBLE != 0 && is_for_disk(task) {
        return state::DISK;
    }
    let Some(registers) = task.registers() else {
        return state::ASLEEP;
    };
    let call = registers.read::<i64>(field::REGISTER_CALL);
    if call < 0 {
        return state::FAULT;
    }
    if reason & UNINTERRUPTIBLE != 0 {
        return state::BLOCKED;
    }
    let call = call as u64;
    if call == global(&CALLS.lock) {
        return state::LOCK;
    }
    let mut index = 0;
    while index < CALLS.events.len() {
        if call == global(&CALLS.events[index]) {
            return state::IDLE;
        }
        index += 1;
    }
    state::ASLEEP
}

/// True if a task waits for a disk: the kernel marks those that wait for pages or blocks on their way (`io_schedule`).
#[inline(always)]
fn is_for_disk(task: Structure) -> bool {
    let bit = global(&DISK_BIT);
    task.read_offset::<u8>((bit / 8) as usize) >> (bit % 8) & 1 != 0
}

/// The program `woken`.
#[inline(always)]
pub fn woken(ctx: &BtfTracePointContext) -> Option<()> {
    let task = Structure::new(ctx.arg(0))?;
    let worker = Seat::of_thread(place::read(task, TASK_THREAD))?;
    let (state, _) = worker.state();
    // A task that is woken before it has gone to sleep goes on running.
    if state >= state::IDLE {
        if state == state::IDLE {
            worker.count_wake_up();
        }
        worker.begin_change();
        worker.enter(state::WOKEN, now());
        worker.wait_for(place::read(task, TASK_CPU));
    }
    Some(())
}

/// The program `ended`.
#[inline(always)]
pub fn ended(_: &BtfTracePointContext) -> Option<()> {
    let thread = thread();
    let worker = Seat::of_thread(thread)?;
    worker.begin_change();
    let now = now();
    worker.note_untold(now);
    worker.enter(state::ENDED, now);
    worker::forget(thread);
    Some(())
}
