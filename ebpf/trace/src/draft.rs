//! A program on this CPU → memory for the record in hand.

use core::arch::asm;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use membench_bpf_lib::{
    context::{self, cpu},
    filter, ring,
    user::bounded,
};
use membench_common::trace::{Call, DATA, Entered, NO_CALL, PAYLOAD, VECTORS};

use crate::entry::SOCKET;

/// Drafts of one CPU for programs that share them: one more than can preempt each other in practice.
const SLOTS: u32 = 4;
const CALL: u64 = size_of::<Call>() as u64;
/// Room for the parts. The last one may begin at the payload's end, as far as the verifier knows.
const ROOM: usize = PAYLOAD + DATA + 64;

/// A record that is being composed.
#[repr(C)]
pub struct Draft {
    pub call: Call,
    pub payload: [u8; ROOM],
    /// Bytes of the payload in use, a multiple of 8.
    pub position: u64,
    /// The call's iovecs.
    pub vectors: [[u64; 2]; VECTORS],
    /// Bytes of the stream that are in no part yet.
    pub left: u64,
    /// 1 if the call is on a socket of the ports.
    pub followed: u64,
    /// Buffer for a number that is read from user space.
    pub word: u64,
    /// 1 while a program uses the draft.
    busy: u64,
}

/// Drafts of `sys_enter` and the programs at the entries of functions.
#[btf_map(name = "entry_drafts")]
static ENTRY_DRAFTS: Array<Draft, 1> = Array::new();

/// Drafts of `sys_exit` and the programs at the returns of functions.
#[btf_map(name = "return_drafts")]
static RETURN_DRAFTS: Array<Draft, 1> = Array::new();

/// Drafts of `signal_deliver`.
#[btf_map(name = "signal_drafts")]
static SIGNAL_DRAFTS: Array<Draft, 1> = Array::new();

/// Drafts of `sched_process_exit`.
#[btf_map(name = "end_drafts")]
static END_DRAFTS: Array<Draft, 1> = Array::new();

/// The programs that use a draft.
#[derive(Clone, Copy)]
pub enum User {
    Entry,
    Return,
    Signal,
    End,
}

/// Takes a draft of this CPU. A program never preempts itself; programs that share drafts take a free one, and there may
/// be none.
#[inline(always)]
pub fn take<const SHARED: bool>(user: User) -> Option<*mut Draft> {
    let drafts = match user {
        User::Entry => &ENTRY_DRAFTS,
        User::Return => &RETURN_DRAFTS,
        User::Signal => &SIGNAL_DRAFTS,
        User::End => &END_DRAFTS,
    };
    if !SHARED {
        return drafts.get_ptr_mut(cpu() * SLOTS);
    }
    let mut slot = 0;
    while slot < SLOTS {
        let draft = drafts.get_ptr_mut(cpu() * SLOTS + slot)?;
        // SAFETY: the map's value outlives the program.
        if unsafe { exchange(&raw mut (*draft).busy, 1) } == 0 {
            return Some(draft);
        }
        slot += 1;
    }
    None
}

/// Gives a draft back.
#[inline(always)]
pub fn release<const SHARED: bool>(draft: *mut Draft) {
    if SHARED {
        // SAFETY: the map's value outlives the program.
        unsafe { (&raw mut (*draft).busy).write_volatile(0) };
    }
}

/// Stores a value at once and returns the one before (Linux 5.12).
#[inline(always)]
unsafe fn exchange(place: *mut u64, value: u64) -> u64 {
    let mut value = value;
    // SAFETY: the caller's; the target has no such operation but in assembly.
    unsafe {
        asm!("{0} = xchg_64({1} + 0, {0})", inout(reg) value, in(reg) place, options(nostack))
    };
    value
}

/// Copies the record into the ring; returns false if that is full.
#[inline(always)]
pub fn output(draft: *mut Draft) -> bool {
    // SAFETY: a draft that was taken; volatile because the programs before wrote it piece by piece.
    let length = unsafe { (&raw const (*draft).position).read_volatile() };
    let size = bounded::<{ CALL + PAYLOAD as u64 }>(CALL + length);
    unsafe { (*draft).call.length = length as u32 };
    ring::output(draft.cast(), size)
}

/// Starts the record of a call.
#[inline(always)]
pub fn begin(draft: *mut Draft, state: *const Entered, kind: u32, time: u64) {
    // SAFETY: a draft that was taken, and the thread's state.
    unsafe {
        let call = &raw mut (*draft).call;
        (*call).time = time;
        (*call).began = (*state).began;
        (*call).result = 0;
        let mut index = 0;
        while index < 6 {
            let from = (&raw const (*state).arguments).cast::<u64>().add(index);
            let to = (&raw mut (*call).arguments).cast::<u64>().add(index);
            to.write_volatile(from.read_volatile());
            index += 1;
        }
        (*call).pid = (*state).pid;
        (*call).tid = (*state).tid;
        (*call).kind = kind;
        (*call).number = (*state).number;
        (*call).parts = 0;
        (*draft).position = 0;
        (*draft).followed =
            u64::from((*state).has_socket == SOCKET && (*state).socket.followed != 0);
    }
}

/// Starts the record of something that is no call.
#[inline(always)]
pub fn begin_idle(draft: *mut Draft, kind: u32) {
    let [pid, tid] = filter::ids();
    // SAFETY: a draft that was taken.
    unsafe {
        let call = &raw mut (*draft).call;
        (*call).time = context::now();
        (*call).began = 0;
        (*call).pid = pid;
        (*call).tid = tid;
        (*call).kind = kind;
        (*call).number = NO_CALL;
        (*call).parts = 0;
        (*draft).position = 0;
        (*draft).followed = 0;
    }
}
