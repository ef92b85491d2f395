//! A system call that returns → its record, or its share of the totals.

use membench_bpf_lib::{
    context, filter,
    kernel::{Structure, global},
};
use membench_common::{
    field,
    trace::{Entered, NO_CALL, Socket, counter, flag, kind, outcome, program, read},
};

use crate::{
    draft::{self, Draft},
    entry::{self, LEFT_OUT, SOCKET, count},
    part, socket, state, total,
};

/// Largest negated error number.
const ERRORS: i64 = 4095;
/// Value of `orig_ax` after the return from a signal handler.
const NONE: u64 = u64::MAX;

/// Time below which calls are left out, ns.
#[unsafe(no_mangle)]
static SLOWER: u64 = 0;

/// Outcomes that are asked for.
#[unsafe(no_mangle)]
static OUTCOME: u32 = 0;

/// The programs at the return of calls. `SHARED` is true for those at functions, which share memory and can preempt each
/// other.
#[inline(always)]
pub fn returned<const SHARED: bool>(registers: Structure, result: i64) -> Option<()> {
    let number = registers.read::<u64>(field::REGISTER_CALL);
    if number != NONE && entry::flags(number) & flag::TRACED == 0 {
        return None;
    }
    if !filter::admits_process() || !state::is_recording() {
        return None;
    }
    let time = context::now();
    let state = find::<SHARED>(registers, number, result)?;
    let counted = finish::<SHARED>(state, result, time);
    count::<SHARED>(program::RETURN, counted);
    // SAFETY: the map's value outlives the program, and only this thread's programs write it.
    unsafe { (*state).number = NO_CALL };
    Some(())
}

/// Returns the state of the thread that returns from a call. A call whose beginning was not seen is read from its
/// registers.
#[inline(always)]
fn find<const SHARED: bool>(
    registers: Structure,
    number: u64,
    result: i64,
) -> Option<*mut Entered> {
    if let Some(state) = state::current() {
        // SAFETY: the map's value outlives the program, and only this thread's programs write it.
        let entered = unsafe { (*state).number };
        if entered != NO_CALL {
            let is_same = number == NONE || number == u64::from(entered);
            return if is_same { Some(state) } else { None };
        }
    }
    if number == NONE || entry::is_compat() {
        return None;
    }
    // A new thread returns from the call that another one made.
    if result == 0 && entry::flags(number) & flag::FORKS != 0 {
        return None;
    }
    let state = state::current().or_else(state::create)?;
    count::<SHARED>(program::RETURN, counter::UNENTERED);
    entry::begin(state, registers, number as u32, entry::flags(number));
    // SAFETY: as above.
    unsafe { (*state).began = 0 };
    Some(state)
}

/// Records or adds up a call; returns the counter that says what became of it.
#[inline(always)]
fn finish<const SHARED: bool>(state: *mut Entered, result: i64, time: u64) -> u32 {
    // SAFETY: the map's value outlives the program, and only this thread's programs write it.
    let (number, began) = unsafe { ((*state).number, (*state).began) };
    let flags = entry::flags(u64::from(number));
    if flags & flag::ADDRESSES != 0 && socket::are_wanted() {
        // SAFETY: as above.
        entry::resolve(state, unsafe { (*state).arguments[0] } as u32, false);
    }
    // SAFETY: as above.
    if unsafe { (*state).has_socket } == LEFT_OUT {
        return counter::OTHER_DESCRIPTOR;
    }
    let took = if began == 0 { 0 } else { time - began };
    if began != 0 && took < global(&SLOWER) {
        return counter::FASTER;
    }
    let failed = result < 0 && result >= -ERRORS;
    let wanted = global(&OUTCOME);
    if wanted == outcome::FAILED && !failed || wanted == outcome::SUCCEEDED && failed {
        return counter::OTHER_OUTCOME;
    }
    if total::are_wanted() {
        total::add(number, failed, took);
        return counter::SHOWN;
    }
    let Some(draft) = draft::take::<SHARED>(draft::User::Return) else {
        return counter::RING_FULL;
    };
    // SAFETY: a draft that was taken, and the thread's state.
    unsafe {
        draft::begin(draft, state, kind::RETURN, time);
        (*draft).call.result = result;
    }
    compose(draft, state, flags, result);
    let done = draft::output(draft);
    draft::release::<SHARED>(draft);
    if done {
        counter::SHOWN
    } else {
        counter::RING_FULL
    }
}

#[inline(always)]
fn compose(draft: *mut Draft, state: *mut Entered, flags: u8, result: i64) {
    // SAFETY: the map's value outlives the program, and only this thread's programs write it.
    unsafe {
        if (*state).has_socket == SOCKET {
            part::socket(draft, 0, &raw const (*state).socket);
        }
        // The state's room for a socket is free once it is in the record.
        if flags & flag::SOCKET != 0 && result >= 0 && socket::are_wanted() {
            let accepted: *mut Socket = &raw mut (*state).socket;
            if socket::look_up(result as u32, accepted) {
                part::socket(draft, read::RESULT, accepted);
            }
        }
        if flags & flag::REPLACES == 0 {
            part::read_all(draft, (*state).number);
        }
    }
}
