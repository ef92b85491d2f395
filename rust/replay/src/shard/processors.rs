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

/// CPUs that must be left besides those of the shards. With fewer, a shard on one CPU waits behind whatever else runs
/// there while the other is idle: on two CPUs and beside one busy task, half of all requests were 400 µs late that way,
/// and 3 µs where the kernel may move the thread.
const LEFT: usize = 2;

/// A CPU for each of so many shards, from the last; none where too few would be left.
pub fn for_shards(count: usize) -> Vec<Option<usize>> {
    choose(&allowed(), count)
}

fn choose(allowed: &[usize], count: usize) -> Vec<Option<usize>> {
    let enough = allowed.len() >= count + LEFT;
    let mut last = allowed.iter().rev().copied();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Allowed processors, shards, and where each shard is kept.
    type Row<'a> = (&'a [usize], usize, &'a [Option<usize>]);

    #[test]
    fn shards_get_cpus_of_their_own_where_two_are_left() {
        let table: [Row<'_>; 4] = [
            (&[0, 1], 1, &[None]),
            (&[0, 1, 5], 1, &[Some(5)]),
            (&[0, 1, 5], 2, &[None, None]),
            (&[0, 1, 2, 3], 2, &[Some(3), Some(2)]),
        ];
        for (allowed, count, expected) in table {
            assert_eq!(choose(allowed, count), expected, "{allowed:?}");
        }
    }
}
