//! A probed socket → its state, stored by the socket's address for as long as that is the same socket.

use aya_ebpf::{bindings::BPF_ANY, btf_maps::HashMap, macros::btf_map};
use membench_bpf_lib::{
    counters::Counters,
    kernel::{Probed, Sock},
};
use membench_common::counter;

use crate::stream::state::{State, unsupported};

/// By address: the kernel stores nothing with a socket that the verifier does not trust. User space sets the size.
#[btf_map(name = "walked")]
static WALKED: HashMap<u64, State, 1> = HashMap::new();

/// Returns the state of a socket that has streams. For any other socket counts the `length` bytes of the call.
#[inline(always)]
pub fn stream_state(sock: Probed, counters: Counters, length: u32) -> Option<&'static mut State> {
    let cause = match unsupported(sock) {
        Some(cause) => cause,
        None => match state(sock, counters) {
            Some(state) => return Some(state),
            None => counter::NO_STATE,
        },
    };
    counters.add(cause, u64::from(length));
    None
}

/// Returns a socket's state, created at first sight.
#[inline(always)]
pub fn state(sock: Probed, counters: Counters) -> Option<&'static mut State> {
    known_state(sock, counters).or_else(|| insert(sock.address))
}

/// Returns the state stored under an address, even if it belongs to an earlier socket.
#[inline(always)]
pub fn find(address: u64) -> Option<&'static mut State> {
    // SAFETY: a map's value, which outlives the program. If another thread closes the socket meanwhile, the value may
    // become another socket's, whose next call then shows a gap.
    WALKED
        .get_ptr_mut(address)
        .map(|state| unsafe { &mut *state })
}

/// Returns the state stored under an address, created if there is none.
#[inline(always)]
pub fn find_or_insert(address: u64) -> Option<&'static mut State> {
    find(address).or_else(|| insert(address))
}

/// Forgets the socket at an address.
#[inline(always)]
pub fn forget(address: u64) {
    // An address that is not in the table is forgotten already.
    let _ = WALKED.remove(address);
}

/// Returns the state stored for the socket, unless it belongs to an earlier one at the same address.
#[inline(always)]
fn known_state(sock: Probed, counters: Counters) -> Option<&'static mut State> {
    let state = find(sock.address)?;
    if state.cookie == 0 || state.cookie == sock.identity() {
        return Some(state);
    }
    // No hook shows the end of UNIX-domain and datagram sockets, so only a TCP socket's end was missed.
    if !sock.is_unix() && !sock.is_udp() {
        counters.add(counter::REPLACED, 1);
    }
    None
}

#[inline(always)]
fn insert(address: u64) -> Option<&'static mut State> {
    WALKED
        .insert(address, State::new(), u64::from(BPF_ANY))
        .ok()?;
    find(address)
}
