//! The CPUs this process may use → one for each shard, the others for the feeder.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPUs this process may use, in order.
fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

/// A CPU for each of so many shards, from the last; none where each could not have its own and leave one.
pub fn for_shards(count: usize) -> Vec<Option<usize>> {
    let allowed = allowed();
    let enough = allowed.len() > count;
    let mut last = allowed.into_iter().rev();
    (0..count).map(|_| last.next().filter(|_| enough)).collect()
}

/// Keeps the calling thread on one CPU. A refusal costs precision, not correctness.
pub fn stay_on(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    let _ = sched_setaffinity(None, &set);
}

/// Keeps the calling thread off these CPUs.
pub fn stay_off(cpus: &[Option<usize>]) {
    let mut set = CpuSet::new();
    for cpu in allowed() {
        if !cpus.contains(&Some(cpu)) {
            set.set(cpu);
        }
    }
    if set.count() > 0 {
        let _ = sched_setaffinity(None, &set);
    }
}
