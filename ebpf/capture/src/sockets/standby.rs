//! A call that a standby program sees → true if the first program has dealt with it.
//!
//! From Linux 7.0 on a task can be preempted inside a program, and the kernel then skips the program for every other task
//! of that CPU. So a standby, a second copy, runs behind the first. It must know which calls the first has dealt with.
//! For a server's TCP socket, which one thread at a time uses, the socket's stored sequence tells: it ends where TCP's
//! does. For any other call the first program leaves a mark with the thread.

use aya_ebpf::{bindings::BPF_ANY, btf_maps::LruHashMap, macros::btf_map};
use membench_bpf_lib::{
    abi::IPPROTO_TCP,
    context,
    counters::Counters,
    kernel::{Sock, Structure},
};
use membench_common::{counter, field, responses};

use crate::{follow, stream::storage};

/// A call that a first program has dealt with. A later call replaces or removes it, so that it seldom outlives the one it
/// stands for where the standby was skipped.
#[repr(C)]
struct Mark {
    /// Address of the socket; 0 for none.
    sock: u64,
    /// A [`Way`].
    way: u64,
}

/// By thread: its last call. Only the thread's own calls touch its entry. User space sets the size.
#[btf_map(name = "marks")]
static MARKS: LruHashMap<u32, Mark, 1> = LruHashMap::new();

/// Direction of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Receive = 0,
    Send = 1,
}

/// True if the first program has dealt with the call that a standby sees now.
#[inline(always)]
pub fn is_done(sock: Structure, way: Way) -> bool {
    if has_sequence(sock, way)
        && let Some(state) = storage::known_state(sock)
    {
        return match way {
            Way::Receive => state.has_noted_receive(sock),
            Way::Send => state.has_noted_send(sock),
        };
    }
    take_mark(sock, way)
}

/// Notes that a program deals with a call: a standby counts it, the first program tells the standby.
#[inline(always)]
pub fn note<const STANDBY: bool>(sock: Structure, way: Way, counters: Counters) {
    if STANDBY {
        counters.add(counter::RECOVERED, 1);
    } else if follow::has_standby() && !has_sequence(sock, way) {
        leave_mark(sock, way);
    }
}

/// Notes that the first program has dealt with a call on a socket whose state could not be made.
#[inline(always)]
pub fn note_stateless<const STANDBY: bool>(sock: Structure, way: Way) {
    if !STANDBY && follow::has_standby() && has_sequence(sock, way) {
        leave_mark(sock, way);
    }
}

/// True if the first program notes TCP's sequence at each call on the socket, and no other thread moves it meanwhile.
#[inline(always)]
fn has_sequence(sock: Structure, way: Way) -> bool {
    let is_kept = way == Way::Receive || follow::responses() != responses::NONE;
    !follow::is_client() && is_kept && sock.read::<u16>(field::SOCK_PROTOCOL) == IPPROTO_TCP
}

#[inline(always)]
fn leave_mark(sock: Structure, way: Way) {
    let thread = context::thread();
    let mark = Mark {
        sock: sock.address(),
        way: way as u64,
    };
    match MARKS.get_ptr_mut(thread) {
        // SAFETY: a map's value, which outlives the program.
        Some(last) => unsafe { *last = mark },
        None => {
            // The map always has room: it drops the thread that was idle for longest.
            let _ = MARKS.insert(thread, mark, u64::from(BPF_ANY));
        }
    }
}

/// True if the mark of this call is there. Removes any: it stands for one call.
#[inline(always)]
fn take_mark(sock: Structure, way: Way) -> bool {
    let Some(last) = MARKS.get_ptr_mut(context::thread()) else {
        return false;
    };
    // SAFETY: a map's value, which outlives the program.
    let (marked, marked_way) = unsafe { ((*last).sock, (*last).way) };
    unsafe { (*last).sock = 0 };
    marked == sock.address() && marked_way == way as u64
}
