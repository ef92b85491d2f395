//! Tasks that had a CPU for which a worker waited → how long.

use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::HashMap, macros::btf_map};
use membench_bpf_lib::kernel::Structure;
use membench_common::observe::{
    CGROUP_FOLDER, CGROUPS_UNIFIED, Culprit, FOLDER_NUMBER, NAME, TASK_CGROUPS, TASK_NAME, counter,
};

use crate::{
    counters::{self, add_to},
    place,
};

/// By process. User space sets the size, and removes those that end.
#[btf_map(name = "culprits")]
static CULPRITS: HashMap<u32, Culprit, 1> = HashMap::new();

/// Charges the process of a task, whose name and control group are noted once.
#[inline(always)]
pub fn charge_task(task: Structure, process: u32, time: u64) {
    if let Some(known) = add(process, time) {
        // SAFETY: a map's value; whoever writes it writes the same.
        unsafe {
            if (*known).cgroup == 0 {
                (*known).cgroup = cgroup(task).unwrap_or(0);
                (*known).name = place::read(task, TASK_NAME);
            }
        }
        return;
    }
    let culprit = Culprit {
        time,
        waits: 1,
        cgroup: cgroup(task).unwrap_or(0),
        name: place::read(task, TASK_NAME),
    };
    insert(process, culprit);
}

/// Charges a process of which only the number is known.
#[inline(always)]
pub fn charge(process: u32, time: u64) {
    if add(process, time).is_none() {
        let culprit = Culprit {
            time,
            waits: 1,
            cgroup: 0,
            name: [0; NAME],
        };
        insert(process, culprit);
    }
}

#[inline(always)]
fn add(process: u32, time: u64) -> Option<*mut Culprit> {
    let known = CULPRITS.get_ptr_mut(process)?;
    // SAFETY: words of a map's value.
    unsafe {
        add_to(&raw mut (*known).time, time);
        add_to(&raw mut (*known).waits, 1);
    }
    Some(known)
}

#[inline(always)]
fn insert(process: u32, culprit: Culprit) {
    let inserted = CULPRITS.insert(process, culprit, u64::from(BPF_NOEXIST));
    if inserted.is_err() {
        counters::add(counter::UNKNOWN, culprit.time);
    }
}

#[inline(always)]
fn cgroup(task: Structure) -> Option<u64> {
    let groups = place::follow(task, TASK_CGROUPS)?;
    let group = place::follow(groups, CGROUPS_UNIFIED)?;
    let folder = place::follow(group, CGROUP_FOLDER)?;
    Some(place::read(folder, FOLDER_NUMBER))
}
