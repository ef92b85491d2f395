//! Members of the kernel's structures that only these programs read, and this machine's numbers of system calls.

use membench_bpf_lib::kernel::{Structure, global};
use membench_common::observe::{COUNT, Calls};

/// Offsets of [`PATHS`](membench_common::observe::PATHS).
#[unsafe(no_mangle)]
static PLACES: [u32; COUNT] = [0; COUNT];

/// Read with [`global`], member by member.
#[unsafe(no_mangle)]
pub static CALLS: Calls = Calls {
    events: [0; 4],
    lock: 0,
    message: 0,
    buffers: [0; 2],
};

/// Reads a member, by its index in [`membench_common::observe`].
#[inline(always)]
pub fn read<T: Copy>(structure: Structure, member: usize) -> T {
    structure.read_offset(global(&PLACES[member]) as usize)
}

/// Returns the structure that a pointer member points to.
#[inline(always)]
pub fn follow(structure: Structure, member: usize) -> Option<Structure> {
    Structure::new(read(structure, member))
}
