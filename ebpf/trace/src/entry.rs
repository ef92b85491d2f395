//! A system call that begins → the state of its thread.

use core::ptr::from_ref;

use membench_bpf_lib::counters::Counters;
use membench_bpf_lib::{
    abi::TS_COMPAT,
    context, filter,
    kernel::{Probed, Sock, Structure, member_offset},
    user::bounded,
};
use membench_common::{
    field, member,
    trace::{self, Entered, NO_CALL, NUMBERS, counter, flag, kind, program},
};

use crate::{draft, end::offset, part, socket, state};

/// Value of [`Entered::has_socket`]: the descriptor is a socket.
pub const SOCKET: u32 = 1;
/// Value of [`Entered::has_socket`]: the call is left out, as it is on another descriptor.
pub const LEFT_OUT: u32 = 2;

/// Facts about each call, by its number: sets of the bits in [`flag`].
#[unsafe(no_mangle)]
static CALLS: [u8; NUMBERS] = [0; NUMBERS];

/// Returns the facts about a call.
#[inline(always)]
pub fn flags(number: u64) -> u8 {
    if number >= NUMBERS as u64 {
        return 0;
    }
    let index = bounded::<{ NUMBERS as u64 - 1 }>(number) as usize;
    // SAFETY: inside the table; volatile because the loader changes it.
    unsafe { from_ref(&CALLS).cast::<u8>().add(index).read_volatile() }
}

/// True if the current task makes a 32-bit call, whose number means another one.
#[inline(always)]
pub fn is_compat() -> bool {
    Probed::task().read::<u32>(field::TASK_STATUS) & TS_COMPAT != 0
}

/// Adds 1 to a counter.
#[inline(always)]
pub fn count<const SHARED: bool>(program: u32, counter: u32) {
    if let Some(counters) = Counters::for_program(program) {
        if SHARED {
            counters.add_shared(counter, 1);
        } else {
            counters.add(counter, 1);
        }
    }
}

/// The programs at the entry of calls. `SHARED` is true for those at functions, which share memory and can preempt each
/// other.
#[inline(always)]
pub fn entered<const SHARED: bool>(registers: Structure, number: u64) -> Option<()> {
    let flags = flags(number);
    if flags & flag::TRACED == 0 || !filter::admits_process() || !state::is_recording() {
        return None;
    }
    if is_compat() {
        count::<SHARED>(program::ENTRY, counter::ENTERED);
        count::<SHARED>(program::ENTRY, counter::COMPAT);
        return None;
    }
    let Some(state) = state::current().or_else(state::create) else {
        count::<SHARED>(program::ENTRY, counter::NO_STATE);
        return None;
    };
    // SAFETY: the map's value outlives the program, and only this thread's programs write it.
    if unsafe { (*state).number } != NO_CALL {
        count::<SHARED>(program::ENTRY, counter::UNRETURNED);
    }
    count::<SHARED>(program::ENTRY, counter::ENTERED);
    begin(state, registers, number as u32, flags);
    // SAFETY: as above.
    unsafe { (*state).began = context::now() };
    if flags & flag::REPLACES != 0 {
        announce::<SHARED>(state);
    }
    Some(())
}

/// Notes a call in its thread's state, but for its time.
#[inline(always)]
pub fn begin(state: *mut Entered, registers: Structure, number: u32, flags: u8) {
    let [pid, tid] = filter::ids();
    let first = registers.read_offset::<u64>(member_offset(member::REGISTER_FIRST));
    // SAFETY: the map's value outlives the program, and only this thread's programs write it.
    unsafe {
        (*state).pid = pid;
        (*state).tid = tid;
        (*state).number = number;
        (*state).arguments[0] = first;
        (*state).arguments[1] = registers.read(field::REGISTER_SECOND);
        (*state).arguments[2] = registers.read(field::REGISTER_THIRD);
        (*state).arguments[3] = registers.read_offset(member_offset(member::REGISTER_FOURTH));
        (*state).arguments[4] = registers.read(field::REGISTER_FIFTH);
        (*state).arguments[5] = registers.read_offset(offset(trace::REGISTER_SIXTH));
        (*state).has_socket = 0;
    }
    if flags & flag::DESCRIPTOR != 0 && socket::are_wanted() {
        resolve(state, first as u32, flags & flag::ADDRESSES != 0);
    }
}

/// Looks up the socket of a call. A call on another descriptor is left out if it must be on a followed one, unless that is
/// decided `later`.
#[inline(always)]
pub fn resolve(state: *mut Entered, descriptor: u32, later: bool) {
    // SAFETY: the map's value outlives the program, and only this thread's programs write it.
    unsafe {
        let found = socket::look_up(descriptor, &raw mut (*state).socket);
        (*state).has_socket =
            if !later && socket::are_alone() && !(found && (*state).socket.followed != 0) {
                LEFT_OUT
            } else if found {
                SOCKET
            } else {
                0
            };
    }
}

/// Records the arguments of a call that replaces the memory they are in.
#[inline(always)]
fn announce<const SHARED: bool>(state: *mut Entered) -> Option<()> {
    let draft = draft::take::<SHARED>(draft::User::Entry)?;
    // SAFETY: a draft that was taken, and the thread's state.
    unsafe {
        draft::begin(draft, state, kind::ENTRY, (*state).began);
        part::read_all(draft, (*state).number);
    }
    let done = draft::output(draft);
    draft::release::<SHARED>(draft);
    count::<SHARED>(
        program::ENTRY,
        if done {
            counter::ASIDE
        } else {
            counter::ASIDE_RING_FULL
        },
    );
    Some(())
}
