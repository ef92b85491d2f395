//! A call on a socket → true if its process, control group and network namespace are among those asked for.
//!
//! The lists are load-time globals. The verifier removes the check of an empty list, so it costs nothing.

use core::mem::size_of;

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::generated::{bpf_get_current_ancestor_cgroup_id, bpf_get_ns_current_pid_tgid},
};
use membench_common::FILTERS;

use crate::{
    context,
    kernel::{Sock, global},
};

/// Levels of the control group hierarchy that are searched, from the root.
const LEVELS: i32 = 16;

#[unsafe(no_mangle)]
static PIDS: [u32; FILTERS] = [0; FILTERS];

#[unsafe(no_mangle)]
static PID_NAMESPACE: [u64; 2] = [0; 2];

#[unsafe(no_mangle)]
static CGROUPS: [u64; FILTERS] = [0; FILTERS];

#[unsafe(no_mangle)]
static NAMESPACES: [u32; FILTERS] = [0; FILTERS];

/// True if each non-empty list contains what the current call belongs to.
#[inline(always)]
pub fn admits(sock: impl Sock) -> bool {
    admits_namespace(sock) && admits_task()
}

/// True if the list of network namespaces is empty, or contains the socket's.
#[inline(always)]
pub fn admits_namespace(sock: impl Sock) -> bool {
    global(&NAMESPACES[0]) == 0 || contains(&NAMESPACES, sock.namespace())
}

/// True if each non-empty list of processes and control groups contains the current task.
#[inline(always)]
pub fn admits_task() -> bool {
    (global(&PIDS[0]) == 0 || contains(&PIDS, process()))
        && (global(&CGROUPS[0]) == 0 || is_in_cgroup())
}

#[inline(always)]
fn contains<T: Copy + PartialEq + Default>(list: &'static [T; FILTERS], wanted: T) -> bool {
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

/// Returns the current process id in the recorder's pid namespace; 0, which no list contains, if the process lives in
/// another one.
#[inline(always)]
fn process() -> u32 {
    let (device, inode) = (global(&PID_NAMESPACE[0]), global(&PID_NAMESPACE[1]));
    if inode == 0 {
        return context::process();
    }
    let mut found = bpf_pidns_info { pid: 0, tgid: 0 };
    let size = size_of::<bpf_pidns_info>() as u32;
    // SAFETY: `size` is the size of `found`; the helper zeroes it on failure.
    unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut found, size) };
    found.tgid
}

/// True if the current task is in one of the control groups, or below one.
#[inline(always)]
fn is_in_cgroup() -> bool {
    for level in 0..LEVELS {
        // SAFETY: takes a number; the id of a level below the task's own is 0.
        let id = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if id == 0 {
            return false;
        }
        if contains(&CGROUPS, id) {
            return true;
        }
    }
    false
}

/// True if the current process is among those asked for.
#[inline(always)]
pub fn admits_process() -> bool {
    contains(&PIDS, process())
}

/// Returns the ids of the current process and thread in the tracer's pid namespace.
#[inline(always)]
pub fn ids() -> [u32; 2] {
    let (device, inode) = (global(&PID_NAMESPACE[0]), global(&PID_NAMESPACE[1]));
    if inode == 0 {
        return [context::process(), context::thread()];
    }
    let mut found = bpf_pidns_info { pid: 0, tgid: 0 };
    let size = size_of::<bpf_pidns_info>() as u32;
    // SAFETY: `size` is the size of `found`; the helper zeroes it on failure.
    unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut found, size) };
    [found.tgid, found.pid]
}
