//! A trusted socket → its state, which the kernel stores with the socket and frees with it.

use core::ptr::{from_ref, null_mut};

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE, btf_maps::SkStorage,
    helpers::generated::bpf_sk_storage_get, macros::btf_map,
};
use membench_bpf_lib::{
    abi::{AF_INET, AF_INET6},
    counters::Counters,
    kernel::Structure,
};
use membench_common::{counter, field};

use crate::{
    follow,
    stream::state::{State, unsupported},
};

#[btf_map(name = "sockets")]
static SOCKETS: SkStorage<State> = SkStorage::new();

/// Returns the state of a socket that has streams. For any other socket counts the `length` bytes of the call.
#[inline(always)]
pub fn stream_state(
    sock: Structure,
    counters: Counters,
    length: u32,
) -> Option<&'static mut State> {
    let cause = match unsupported(sock) {
        Some(cause) => cause,
        None => match state(sock) {
            Some(state) => return Some(state),
            None => counter::NO_STATE,
        },
    };
    counters.add(cause, u64::from(length));
    None
}

/// Returns a socket's state, created at first sight.
#[inline(always)]
pub fn state(sock: Structure) -> Option<&'static mut State> {
    get(sock, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
}

/// Returns a socket's state; `None` if the socket was never followed.
#[inline(always)]
pub fn known_state(sock: Structure) -> Option<&'static mut State> {
    get(sock, 0)
}

/// True for a followed server socket whose connection TCP has already ended. A reset clears the port, but data received
/// before it can still be read, so the socket is recognised by its stored state.
#[inline(always)]
pub fn outlived_port(sock: Structure) -> bool {
    let has_port = sock.read::<u16>(field::SOCK_LOCAL_PORT) != 0;
    if has_port || follow::is_client() {
        return false;
    }
    let family = sock.read::<u16>(field::SOCK_FAMILY);
    (family == AF_INET || family == AF_INET6) && known_state(sock).is_some()
}

#[inline(always)]
fn get(sock: Structure, flags: u64) -> Option<&'static mut State> {
    let map = from_ref(&SOCKETS).cast_mut().cast();
    // SAFETY: a map and a socket, as the verifier checks; without a value the kernel zeroes the new one. The kernel
    // keeps the state while the program runs, and no program holds two references to it at a time.
    unsafe {
        bpf_sk_storage_get(map, sock.pointer(), null_mut(), flags)
            .cast::<State>()
            .as_mut()
    }
}
