//! A record → this CPU's ring buffer.

use core::{ffi::c_void, mem::size_of, ptr::from_ref};

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::{ArrayOfMaps, RingBuf},
    helpers::generated::{
        bpf_ringbuf_discard, bpf_ringbuf_output, bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
    macros::btf_map,
};

use crate::context::cpu;

/// The ring of each CPU; CPUs may share one. User space creates the rings, of any size. The size here only types the
/// map for the verifier; it is a whole number of pages on every machine.
#[btf_map(name = "rings")]
static RINGS: ArrayOfMaps<RingBuf<(), 65_536>, 1> = ArrayOfMaps::new();

/// Returns this CPU's ring. A program that migrates meanwhile still uses it: a ring takes any number of writers.
#[inline(always)]
fn ring() -> Option<*mut c_void> {
    RINGS
        .get(cpu())
        .map(|ring| from_ref(ring).cast_mut().cast())
}

/// Copies a record into the ring; returns false if the ring is full. Wakes nobody: user space polls.
#[inline(always)]
pub fn output(record: *const u8, size: u64) -> bool {
    let Some(ring) = ring() else {
        return false;
    };
    // SAFETY: the verifier checks `size` against the memory at `record`.
    unsafe {
        bpf_ringbuf_output(
            ring,
            record.cast_mut().cast(),
            size,
            u64::from(BPF_RB_NO_WAKEUP),
        ) == 0
    }
}

/// Reserves room for a record; `None` if the ring is full. The room holds whatever the ring held before.
#[inline(always)]
pub fn reserve<T>() -> Option<*mut T> {
    let ring = ring()?;
    // SAFETY: the verifier sees that the reservation is submitted or discarded.
    let record = unsafe { bpf_ringbuf_reserve(ring, size_of::<T>() as u64, 0) }.cast::<T>();
    if record.is_null() { None } else { Some(record) }
}

/// Publishes a reserved record. Wakes nobody.
#[inline(always)]
pub fn submit<T>(record: *mut T) {
    // SAFETY: the verifier checks that the record was reserved.
    unsafe { bpf_ringbuf_submit(record.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
}

/// Gives a reserved record's room back.
#[inline(always)]
pub fn discard<T>(record: *mut T) {
    // SAFETY: the verifier checks that the record was reserved.
    unsafe { bpf_ringbuf_discard(record.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
}
