//! A thread that reads requests → its clocks, one for each state.

use core::arch::asm;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE, btf_maps::Array, helpers::generated::bpf_get_current_comm,
    macros::btf_map,
};
use membench_bpf_lib::{context, filter};
use membench_common::observe::{
    Account, BLOCK, NAME, STATES, WORKERS as MOST, Worker, counter, state,
};

use crate::{counters, runs};

/// Workers, in the order in which they were first seen. User space sets how many there can be.
#[btf_map(name = "workers")]
static WORKERS: Array<Worker, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// By thread, in blocks: the number of its worker, or 0. User space sets how many threads there can be.
#[btf_map(name = "threads")]
static THREADS: Array<[u16; BLOCK], 1> = Array::new();

/// Number of workers that were seen.
#[btf_map(name = "seen")]
static SEEN: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// A worker's clocks and sums.
#[derive(Clone, Copy)]
pub struct Seat(*mut Worker);

/// Returns the number of a thread's worker; 0 if the thread is none.
#[inline(always)]
pub fn number(thread: u32) -> u32 {
    match entry(thread) {
        // SAFETY: a word of a map's value.
        Some(entry) => u32::from(unsafe { entry.read_volatile() }),
        None => 0,
    }
}

/// Forgets a thread.
#[inline(always)]
pub fn forget(thread: u32) {
    if let Some(entry) = entry(thread) {
        // SAFETY: a word of a map's value.
        unsafe { entry.write_volatile(0) };
    }
}

#[inline(always)]
fn entry(thread: u32) -> Option<*mut u16> {
    let block = THREADS.get_ptr_mut(thread / BLOCK as u32)?;
    let index = thread as usize & (BLOCK - 1);
    // SAFETY: the mask keeps the index inside the map's value.
    Some(unsafe { block.cast::<u16>().add(index) })
}

/// Makes the current thread a worker, which runs since `now`; returns its number, or `None` if there are too many.
#[inline(always)]
pub fn enlist(thread: u32, now: u64) -> Option<u32> {
    let entry = entry(thread)?;
    let seen = SEEN.get_ptr_mut(0)?;
    let mut index = 1_u64;
    // SAFETY: an aligned word of a map's value; adds 1 to it, and returns what it was.
    unsafe {
        asm!(
            "{1} = atomic_fetch_add((u64 *)({0} + 0), {1})",
            in(reg) seen, inout(reg) index,
            options(nostack, preserves_flags)
        );
    }
    if index >= u64::from(MOST) {
        return None;
    }
    let worker = WORKERS.get_ptr_mut(index as u32)?;
    let [own_process, own_thread] = filter::ids();
    // SAFETY: the map's value outlives the program, and only this thread's programs know its number.
    unsafe {
        (*worker).state = state::RUNNING as u64;
        (*worker).since = now;
        (*worker).thread = thread;
        (*worker).process = context::process();
        (*worker).own_thread = own_thread;
        (*worker).own_process = own_process;
        bpf_get_current_comm((&raw mut (*worker).name).cast(), NAME as u32);
        entry.write_volatile(index as u16 + 1);
    }
    Some(index as u32 + 1)
}

impl Seat {
    /// Returns the worker with a number; `None` for 0.
    #[inline(always)]
    pub fn numbered(number: u32) -> Option<Self> {
        if number == 0 {
            return None;
        }
        WORKERS.get_ptr_mut(number - 1).map(Self)
    }

    /// Returns the worker that a thread is.
    #[inline(always)]
    pub fn of_thread(thread: u32) -> Option<Self> {
        Self::numbered(number(thread))
    }

    /// Returns the state, and when it began.
    #[inline(always)]
    pub fn state(self) -> (usize, u64) {
        // SAFETY: a map's value, which outlives the program.
        unsafe {
            let state = (&raw const (*self.0).state).read_volatile();
            let since = (&raw const (*self.0).since).read_volatile();
            (state as usize & (STATES - 1), since)
        }
    }

    /// Announces that the state changes. Called before the time of the change is read: whoever copies the clocks for a
    /// later time sees it, however long this CPU is held up in between. The scheduler orders the calls for each thread.
    #[inline(always)]
    pub fn begin_change(self) {
        let mut changes = 1_u64;
        // SAFETY: an aligned word of a map's value. An atomic that returns a value is a full barrier, so the change is
        // seen before the clock is read.
        unsafe {
            asm!(
                "{1} = atomic_fetch_add((u64 *)({0} + 0), {1})",
                in(reg) &raw mut (*self.0).changes, inout(reg) changes,
                options(nostack, preserves_flags)
            );
        }
        let _ = changes;
    }

    /// Stops the clock of the current state, and starts another. Ends a change.
    #[inline(always)]
    pub fn enter(self, state: usize, now: u64) {
        let (last, since) = self.state();
        // SAFETY: a map's value, and an index that is masked.
        unsafe {
            let changes = &raw mut (*self.0).changes;
            let clock = (&raw mut (*self.0).times).cast::<u64>().add(last);
            clock.write_volatile(clock.read_volatile() + now.saturating_sub(since));
            (&raw mut (*self.0).state).write_volatile(state as u64);
            (&raw mut (*self.0).since).write_volatile(now);
            changes.write_volatile(changes.read_volatile() + 1);
        }
    }

    /// Notes that the worker waits for a CPU.
    #[inline(always)]
    pub fn wait_for(self, cpu: u32) {
        // SAFETY: a map's value; the scheduler orders the calls for each thread.
        unsafe { (*self.0).waits_for = u64::from(cpu) + 1 };
        runs::change_waiting(cpu, 1);
    }

    /// Notes that the worker has a CPU. Returns true if it waited for this one.
    #[inline(always)]
    pub fn stop_waiting(self) -> bool {
        // SAFETY: as above.
        let awaited = unsafe { core::mem::replace(&mut (*self.0).waits_for, 0) };
        if awaited != 0 {
            runs::change_waiting(awaited as u32 - 1, -1);
        }
        awaited == u64::from(context::cpu()) + 1
    }

    /// Copies the clocks as they are at `now`; returns false if the scheduler changes them meanwhile.
    #[inline(always)]
    pub fn copy_clocks(self, now: u64, to: &mut [u64; STATES]) -> bool {
        let changes = self.changes();
        if changes & 1 != 0 {
            return false;
        }
        let (state, since) = self.state();
        let mut index = 0;
        while index < state::COUNT {
            to[index] = self.clock(index);
            index += 1;
        }
        let running = to.as_mut_ptr();
        // SAFETY: the index is masked.
        unsafe { *running.add(state) += now.saturating_sub(since) };
        self.changes() == changes
    }

    /// Returns the number of begins and ends of changes; it is odd during a change.
    #[inline(always)]
    fn changes(self) -> u64 {
        // SAFETY: a map's value.
        unsafe { (&raw const (*self.0).changes).read_volatile() }
    }

    /// Returns a clock, without what the current state adds.
    #[inline(always)]
    pub fn clock(self, state: usize) -> u64 {
        // SAFETY: a map's value; callers pass a constant.
        unsafe { (&raw const (*self.0).times[state]).read_volatile() }
    }

    /// Returns the running time of the current thread, which is this worker.
    ///
    /// The kernel leaves the program out at some switches. The state then still says that the worker waits, and the wait
    /// is taken to last until now.
    #[inline(always)]
    pub fn running(self, now: u64) -> u64 {
        let (state, since) = self.state();
        if state == state::RUNNING {
            return self.clock(state::RUNNING) + now.saturating_sub(since);
        }
        self.begin_change();
        self.note_untold(now);
        self.enter(state::RUNNING, now);
        self.clock(state::RUNNING)
    }

    /// Accounts for a switch to this worker, which runs, of which the kernel did not tell.
    #[inline(always)]
    pub fn note_untold(self, now: u64) {
        let (state, since) = self.state();
        if state == state::RUNNING {
            return;
        }
        self.stop_waiting();
        counters::add(counter::UNTOLD, 1);
        if state == state::WOKEN || state == state::PREEMPTED {
            counters::add(counter::UNKNOWN, now.saturating_sub(since));
        }
    }

    /// Returns the running time at the end of the worker's last read or send, and notes another.
    #[inline(always)]
    pub fn replace_done(self, running: u64) -> u64 {
        // SAFETY: a map's value, which only the thread's own calls use.
        unsafe {
            let last = (*self.0).done;
            (*self.0).done = running;
            last
        }
    }

    /// Counts a read.
    #[inline(always)]
    pub fn count_read(self) {
        // SAFETY: as above.
        unsafe { (*self.0).reads += 1 };
    }

    /// Counts that the worker is woken from waiting for events.
    #[inline(always)]
    pub fn count_wake_up(self) {
        // SAFETY: a map's value; the scheduler orders the calls for each thread.
        unsafe { (*self.0).wake_ups += 1 };
    }

    /// Returns the sums of its requests.
    #[inline(always)]
    pub fn account(self) -> *mut Account {
        // SAFETY: a member of a map's value.
        unsafe { &raw mut (*self.0).account }
    }
}
