//! A walked socket → what is known of it, kept by its address as long as it is the same socket.

use aya_ebpf::{bindings::BPF_ANY, btf_maps::HashMap, macros::btf_map};
use membench_common::counter;

use crate::exit::fd::Walked;
use crate::{
    datagram,
    kernel::Sock,
    maps::Counters,
    socket::{self, State},
};

/// By address; a walked socket is no pointer to which the kernel would tie storage. User space sets the size.
#[btf_map(name = "walked")]
static WALKED: HashMap<u64, State, 1> = HashMap::new();

/// A supported socket's state; of another the call's `length` bytes are counted.
#[inline(always)]
pub fn state(sock: Walked, counters: Counters, length: u32) -> Option<&'static mut State> {
    let cause = match socket::unsupported(sock) {
        Some(cause) => cause,
        None => match same(sock, counters).or_else(|| new(sock.address)) {
            Some(state) => return Some(state),
            None => counter::NO_STATE,
        },
    };
    counters.add(cause, u64::from(length));
    None
}

/// The state of a socket for datagrams.
#[inline(always)]
pub fn of_datagrams(sock: Walked, counters: Counters) -> Option<&'static mut State> {
    same(sock, counters).or_else(|| new(sock.address))
}

/// The state kept under this address, by whichever socket.
#[inline(always)]
pub fn at(address: u64) -> Option<&'static mut State> {
    // SAFETY: a map's value. It may become another socket's while the program runs, if this one is closed meanwhile by
    // someone else; then that one's next call shows as a gap.
    WALKED
        .get_ptr_mut(address)
        .map(|state| unsafe { &mut *state })
}

/// The same, or a new one.
#[inline(always)]
pub fn at_or_new(address: u64) -> Option<&'static mut State> {
    at(address).or_else(|| new(address))
}

/// Forgets the socket at this address.
#[inline(always)]
pub fn forget(address: u64) {
    // One that is not there is forgotten already.
    let _ = WALKED.remove(address);
}

/// The socket's state, unless it is another's whose end was not seen.
#[inline(always)]
fn same(sock: Walked, counters: Counters) -> Option<&'static mut State> {
    let state = at(sock.address)?;
    if state.cookie == 0 || state.cookie == sock.identity() {
        return Some(state);
    }
    // Of UNIX-domain sockets and of those for datagrams no hook tells the end.
    if !socket::is_unix(sock) && !datagram::is_datagram(sock) {
        counters.add(counter::REPLACED, 1);
    }
    None
}

#[inline(always)]
fn new(address: u64) -> Option<&'static mut State> {
    WALKED
        .insert(address, State::unseen(), u64::from(BPF_ANY))
        .ok()?;
    at(address)
}
