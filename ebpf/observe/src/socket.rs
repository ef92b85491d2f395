//! A followed socket → what waits in it, and the request that is served.

use core::ptr::{from_ref, null_mut};

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE, btf_maps::SkStorage,
    helpers::generated::bpf_sk_storage_get, macros::btf_map,
};
use membench_bpf_lib::kernel::Structure;
use membench_common::observe::STATES;

/// Nothing is known of a request: sends are no answers.
pub const NONE: u32 = 0;
/// A request was read.
pub const READ: u32 = 1;
/// The request that was read last has an answer.
pub const ANSWERED: u32 = 2;

/// Bytes that came.
#[repr(C)]
pub struct Arrival {
    /// Time; 0 if there are none.
    pub time: u64,
    /// Number of the worker whose clocks these are; 0 if they could not be read.
    pub worker: u64,
    /// The worker's clocks at that time.
    pub clocks: [u64; STATES],
}

/// State of a followed socket.
#[repr(C)]
pub struct Socket {
    /// 1 if there are bytes to read.
    pub pending: u32,
    /// Phase of the request: [`NONE`], [`READ`] or [`ANSWERED`].
    pub phase: u32,
    /// Number of the worker that read last; 0 before the first read.
    pub worker: u32,
    /// Sequence number after the last read.
    pub copied: u32,
    /// Sequence number after the last send that was seen, or that the last read found.
    pub written: u32,
    /// Sequence number at the begin of the first read since the last answer.
    pub begun: u32,
    /// Time of the last read.
    pub read: u64,
    /// The oldest bytes that wait.
    pub first: Arrival,
    /// The newest bytes that wait, if other bytes already did.
    pub latest: Arrival,
    /// Arrival of the request.
    pub start: u64,
    /// The worker's clocks from which its parts are counted.
    pub clocks: [u64; STATES],
    /// Time between arrival and these clocks, ns.
    pub before: u64,
    /// Running time at the read.
    pub read_running: u64,
    /// Time of waiting for events at the read.
    pub read_idle: u64,
    /// Running time of requests ahead.
    pub ahead: u64,
    /// Running time at the last read or send of this socket.
    pub done_running: u64,
    /// Time of waiting for events at the last send of this socket.
    pub done_idle: u64,
    /// 1 if `before` is that of a connection's first request.
    pub is_first: u64,
}

impl Socket {
    /// Returns the number of bytes that were read since the answer before.
    #[inline(always)]
    pub fn read_bytes(&self) -> u32 {
        self.copied.wrapping_sub(self.begun)
    }
}

#[btf_map(name = "sockets")]
static SOCKETS: SkStorage<Socket> = SkStorage::new();

/// Returns a socket's state, created at first sight; `None` if there is no memory.
#[inline(always)]
pub fn state(sock: Structure) -> Option<&'static mut Socket> {
    get(sock, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
}

/// Returns a socket's state; `None` if nothing came on it.
#[inline(always)]
pub fn known_state(sock: Structure) -> Option<&'static mut Socket> {
    get(sock, 0)
}

#[inline(always)]
fn get(sock: Structure, flags: u64) -> Option<&'static mut Socket> {
    let map = from_ref(&SOCKETS).cast_mut().cast();
    // SAFETY: a map and a socket, as the verifier checks; without a value the kernel zeroes the new one. The kernel
    // keeps the state while the program runs. Another CPU can note an arrival meanwhile: see `arrival`.
    unsafe {
        bpf_sk_storage_get(map, sock.pointer(), null_mut(), flags)
            .cast::<Socket>()
            .as_mut()
    }
}
