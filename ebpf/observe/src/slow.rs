//! A request that took long → a record of its own.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::{Array, RingBuf},
    macros::btf_map,
};
use membench_bpf_lib::kernel::{Structure, global};
use membench_common::observe::{
    Slow, counter,
    part::{self, COUNT},
};

use crate::{connection, counters, socket::Socket};

/// User space sets the size.
#[btf_map(name = "slow")]
static RING: RingBuf<Slow, 4096> = RingBuf::new();

/// The floor, ns: a request that took no longer gets no record. User space raises it while it holds enough longer ones.
#[btf_map(name = "floor")]
static FLOOR: Array<u64, 1> = Array::new();

/// The time from which a request is slow, ns.
#[unsafe(no_mangle)]
static SLOWER: u64 = u64::MAX;

/// True if a request of that time is slow.
#[inline(always)]
pub fn is_slow(whole: u64) -> bool {
    whole >= global(&SLOWER)
}

/// Keeps a request that has just been answered by a send of `length` bytes that begin as `answer` says.
#[inline(always)]
pub fn keep(
    socket: &Socket,
    tcp: Structure,
    (now, length, answer): (u64, u32, u32),
    parts: &[u64; COUNT],
) -> Option<()> {
    counters::add(counter::SLOW, 1);
    let floor = FLOOR.get(0)?;
    if parts[part::WHOLE] <= *floor {
        return None;
    }
    let Some(mut record) = RING.reserve(0) else {
        counters::add(counter::SLOW_LOST, 1);
        return None;
    };
    record.write(Slow {
        time: now,
        parts: *parts,
        connection: connection::of(tcp),
        worker: socket.worker - 1,
        read: socket.read_bytes(),
        sent: length,
        answer,
    });
    record.submit(u64::from(BPF_RB_NO_WAKEUP));
    Some(())
}
