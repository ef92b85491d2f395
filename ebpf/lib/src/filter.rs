//! A call on a followed port → whether its process and network namespace are among those asked for, and the sample.
//!
//! The lists are load-time globals: where one is empty the verifier removes its check, which then costs nothing.

use core::mem::size_of;

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::generated::{
        bpf_get_current_ancestor_cgroup_id, bpf_get_current_pid_tgid, bpf_get_ns_current_pid_tgid,
    },
};
use membench_common::FILTERS;

use crate::{
    kernel::{self, Sock, global},
    socket,
};

/// Deepest control group whose ancestors are looked at.
const DEEPEST: i32 = 16;

#[unsafe(no_mangle)]
static PIDS: [u32; FILTERS] = [0; FILTERS];

#[unsafe(no_mangle)]
static PID_NAMESPACE: [u64; 2] = [0; 2];

#[unsafe(no_mangle)]
static CGROUPS: [u64; FILTERS] = [0; FILTERS];

#[unsafe(no_mangle)]
static NAMESPACES: [u32; FILTERS] = [0; FILTERS];

/// Whether every list that is not empty holds what this call belongs to, and the connection is of the sample.
#[inline(always)]
pub fn admits(sock: impl Sock) -> bool {
    (global(&NAMESPACES[0]) == 0 || holds(&NAMESPACES, socket::namespace(sock)))
        && (global(&PIDS[0]) == 0 || holds(&PIDS, process()))
        && (global(&CGROUPS[0]) == 0 || is_in_cgroup())
        && kernel::is_sampled(sock)
}

#[inline(always)]
fn holds<T: Copy + PartialEq + Default>(list: &'static [T; FILTERS], wanted: T) -> bool {
    let mut index = 0;
    while index < FILTERS {
        let listed = global(&list[index]);
        if listed == T::default() {
            return false;
        }
        if listed == wanted {
            return true;
        }
        index += 1;
    }
    false
}

/// The running process as the asker counts it; 0, which is none, when it lives in another pid namespace.
#[inline(always)]
fn process() -> u32 {
    let (device, inode) = (global(&PID_NAMESPACE[0]), global(&PID_NAMESPACE[1]));
    if inode == 0 {
        // SAFETY: takes no arguments.
        return (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32;
    }
    let mut found = bpf_pidns_info { pid: 0, tgid: 0 };
    let size = size_of::<bpf_pidns_info>() as u32;
    // SAFETY: the size is that of what is written to; on failure it is zeroed.
    unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut found, size) };
    found.tgid
}

/// Whether the running task is in one of the control groups, or below.
#[inline(always)]
fn is_in_cgroup() -> bool {
    for level in 0..DEEPEST {
        // SAFETY: takes a number; beyond the task's own level the id is 0.
        let id = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if id == 0 {
            return false;
        }
        if holds(&CGROUPS, id) {
            return true;
        }
    }
    false
}
