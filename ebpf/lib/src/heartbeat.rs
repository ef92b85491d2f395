//! User space's last sign of life → whether copying is worth while.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use membench_common::SILENCE_NS;

/// Time at which user space last drained the ring, CLOCK_MONOTONIC, ns. User space writes it through its own mapping.
#[btf_map(name = "heartbeat")]
static HEARTBEAT: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// True if user space has been silent for [`SILENCE_NS`] at `time`. It may be stopped, so programs then count bytes
/// instead of copying them.
#[inline(always)]
pub fn is_unattended(time: u64) -> bool {
    // SAFETY: the map's value outlives the program; volatile because user space changes it.
    let last = HEARTBEAT
        .get_ptr_mut(0)
        .map_or(0, |beat| unsafe { beat.read_volatile() });
    time.saturating_sub(last) > SILENCE_NS
}
