//! A call with several messages → the index of the message that has just moved.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use membench_bpf_lib::{context, user::zero};

/// Marks a place that is not known.
const UNKNOWN: u32 = u32::MAX;

/// 1 once a call with several messages was seen on any socket. While none was, a call that fails ends none.
#[btf_map(name = "several")]
static SEVERAL: Array<u64, 1> = Array::new();

/// Returns true if a call with several messages may be running.
#[inline(always)]
pub fn may_be_open() -> bool {
    // SAFETY: the map's value outlives the program.
    SEVERAL
        .get_ptr_mut(0)
        .is_some_and(|seen| unsafe { seen.read_volatile() } != 0)
}

/// Notes that a call with several messages runs.
#[inline(always)]
fn open() {
    if let Some(seen) = SEVERAL.get_ptr_mut(0) {
        // SAFETY: the map's value outlives the program. All programs write the same.
        unsafe { seen.write_volatile(1) };
    }
}

/// Position of a call in its array of messages.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Place {
    /// Address of the array; 0 while no such call runs.
    array: u64,
    thread: u32,
    next: u32,
}

impl Place {
    /// Creates the place of a socket on which no such call has run.
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            array: zero(),
            thread: zero() as u32,
            next: zero() as u32,
        }
    }

    /// Forgets the call: it has ended, or another one runs.
    #[inline(always)]
    pub fn reset(&mut self) {
        self.array = 0;
    }

    /// Gives up on the call: the messages to come cannot be told apart.
    #[inline(always)]
    pub fn lose(&mut self) {
        self.next = UNKNOWN;
    }

    /// Moves on by one of the `count` messages of the array and returns its index; `None` if the place is not known.
    #[inline(always)]
    pub fn advance(&mut self, array: u64, count: u64) -> Option<u32> {
        let thread = context::thread();
        let is_same_call = self.array == array && self.thread == thread;
        let index = if is_same_call { self.next } else { 0 };
        if index == UNKNOWN {
            return None;
        }
        open();
        self.array = array;
        self.thread = thread;
        self.next = index + 1;
        if u64::from(self.next) >= count {
            self.reset();
        }
        Some(index)
    }
}
