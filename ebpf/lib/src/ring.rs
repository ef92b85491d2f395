//! The maps: the rings, the counters, the sockets' state and the scratch space.

use core::{
    ffi::c_void,
    mem::size_of,
    ptr::{from_ref, null_mut},
};

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::{Array, ArrayOfMaps, RingBuf, SkStorage},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ringbuf_discard, bpf_ringbuf_output, bpf_ringbuf_reserve,
        bpf_ringbuf_submit, bpf_sk_storage_get,
    },
    macros::btf_map,
};
use membench_common::{Header, SILENCE_NS, counter, program};

use crate::{
    exit::{fd::Walked, message::Messages},
    kernel::Structure,
    record::Progress,
    socket::{State, Stream},
};

/// Room for a record's parts: a full payload and the last part that may begin at its end.
pub const PAYLOAD: usize = membench_common::RECORD_PAYLOAD + 512;
/// Most iovecs of one call: IOV_MAX.
pub const VECTORS: usize = 1024;

/// Where one program of one CPU composes a record; never shared, as a program can be preempted by another.
#[repr(C)]
pub struct Scratch {
    pub header: Header,
    pub payload: [u8; PAYLOAD],
    /// What follows the first two members of a `struct msghdr`,
    pub message: [u64; 6],
    /// and a call's iovecs: directly behind, as compilers often place them on the stack.
    pub vectors: [[u64; 2]; VECTORS],
    pub progress: Progress,
    /// Of a datagram, which is a stream of its own.
    pub stream: Stream,
    /// Where a pointer in user space is read to.
    pub pointer: u64,
    /// Of the socket, for programs that go on with the call.
    pub walked: Walked,
    /// Of a call with several messages.
    pub messages: Messages,
}

/// The ring of each CPU; several may share one. User space makes the rings, of any size: what stands here only tells the
/// verifier what they are, and is a whole number of pages on every machine.
#[btf_map(name = "rings")]
static RINGS: ArrayOfMaps<RingBuf<(), 65_536>, 1> = ArrayOfMaps::new();

/// `program::COUNT` entries a CPU; user space sets how many and maps them into its memory.
#[btf_map(name = "counters")]
static COUNTERS: Array<[u64; counter::STRIDE], 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// When user space last looked into the ring, CLOCK_MONOTONIC, ns: it writes this through its own mapping.
#[btf_map(name = "heartbeat")]
static HEARTBEAT: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// One entry a CPU.
#[btf_map(name = "receive_scratch")]
static RECEIVE_SCRATCH: Array<Scratch, 1> = Array::new();

/// One entry a CPU.
#[btf_map(name = "send_scratch")]
static SEND_SCRATCH: Array<Scratch, 1> = Array::new();

/// Freed by the kernel with the socket.
#[btf_map(name = "sockets")]
static SOCKETS: SkStorage<State> = SkStorage::new();

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { bpf_get_smp_processor_id() }
}

/// Scratch space of `sock_recv_length` or `sys_exit` on this CPU.
#[inline(always)]
pub fn receive_scratch() -> Option<*mut Scratch> {
    RECEIVE_SCRATCH.get_ptr_mut(cpu())
}

/// Scratch space of `sock_send_length` on this CPU.
#[inline(always)]
pub fn send_scratch() -> Option<*mut Scratch> {
    SEND_SCRATCH.get_ptr_mut(cpu())
}

/// The counters that only this program on this CPU writes.
#[derive(Clone, Copy)]
pub struct Counters(*mut [u64; counter::STRIDE]);

impl Counters {
    /// Those of a `program`.
    #[inline(always)]
    pub fn of(program: u32) -> Option<Self> {
        COUNTERS
            .get_ptr_mut(cpu() * program::COUNT + program)
            .map(Self)
    }

    /// Adds to one of `counter`.
    #[inline(always)]
    pub fn add(self, counter: u32, amount: u64) {
        let index = counter as usize & (counter::STRIDE - 1);
        // SAFETY: the map's value outlives the program, and the mask keeps the index inside it.
        unsafe {
            let place = self.0.cast::<u64>().add(index);
            place.write_volatile(place.read_volatile() + amount);
        }
    }
}

/// Whether user space has been silent so long, at `time`, that it may be stopped: then bytes are counted, not copied.
#[inline(always)]
pub fn is_unattended(time: u64) -> bool {
    // SAFETY: the map's value outlives the program; volatile because user space changes it.
    let last = HEARTBEAT
        .get_ptr_mut(0)
        .map_or(0, |beat| unsafe { beat.read_volatile() });
    time.saturating_sub(last) > SILENCE_NS
}

/// A socket's state, made on first sight.
#[inline(always)]
pub fn state(sock: Structure) -> Option<*mut State> {
    storage(sock, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
}

/// A socket's state, if it was ever seen.
#[inline(always)]
pub fn known_state(sock: Structure) -> Option<*mut State> {
    storage(sock, 0)
}

#[inline(always)]
fn storage(sock: Structure, flags: u64) -> Option<*mut State> {
    let map = from_ref(&SOCKETS).cast_mut().cast();
    // SAFETY: a map and a socket, as the verifier checks; without a value the kernel zeroes the new one.
    let state =
        unsafe { bpf_sk_storage_get(map, sock.pointer(), null_mut(), flags) }.cast::<State>();
    if state.is_null() { None } else { Some(state) }
}

/// This CPU's ring. A program that goes on elsewhere meanwhile uses it all the same: rings take any number of writers.
#[inline(always)]
fn ring() -> Option<*mut c_void> {
    RINGS
        .get(cpu())
        .map(|ring| from_ref(ring).cast_mut().cast())
}

/// Copies a record into the ring; false when it is full. Nobody is woken: user space comes by itself.
#[inline(always)]
pub fn output(record: *const u8, size: u64) -> bool {
    let Some(ring) = ring() else {
        return false;
    };
    // SAFETY: the verifier checks `size` against the memory behind `record`.
    unsafe {
        bpf_ringbuf_output(
            ring,
            record.cast_mut().cast(),
            size,
            u64::from(BPF_RB_NO_WAKEUP),
        ) == 0
    }
}

/// Room for a record in the ring, none when it is full. What is not written holds what was in the ring before.
#[inline(always)]
pub fn reserve<T>() -> Option<*mut T> {
    let ring = ring()?;
    // SAFETY: the verifier sees that what is reserved is submitted or discarded.
    let record = unsafe { bpf_ringbuf_reserve(ring, size_of::<T>() as u64, 0) }.cast::<T>();
    if record.is_null() { None } else { Some(record) }
}

/// Makes a reserved record visible. Nobody is woken.
#[inline(always)]
pub fn submit<T>(record: *mut T) {
    // SAFETY: the verifier checks that it was reserved.
    unsafe { bpf_ringbuf_submit(record.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
}

/// Gives a reserved record's room back.
#[inline(always)]
pub fn discard<T>(record: *mut T) {
    // SAFETY: the verifier checks that it was reserved.
    unsafe { bpf_ringbuf_discard(record.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
}
