//! CPUs this process may use → one for each shard, the others for the feeder.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Returns the CPUs this process may use, in ascending order.
fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

/// CPUs that must be left over if shards are to be pinned. With fewer, a pinned shard waits for whatever else runs on
/// its CPU while another CPU is idle. Measured on two CPUs beside one busy task: half of all requests were 400 µs late
/// with a pinned shard, and 3 µs with a thread the kernel may move.
const SPARE_CPUS: usize = 2;

/// Returns the CPU to pin each of `count` shards to, from the last CPU downwards; `None` for all of them if fewer than
/// two CPUs would be left over.
pub fn for_shards(count: usize) -> Vec<Option<usize>> {
    choose(&allowed(), count)
}

fn choose(allowed: &[usize], count: usize) -> Vec<Option<usize>> {
    let enough = allowed.len() >= count + SPARE_CPUS;
    let mut last = allowed.iter().rev().copied();
    (0..count).map(|_| last.next().filter(|_| enough)).collect()
}

/// Pins the calling thread to `cpu`. Ignores a refusal, which costs precision but not correctness.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    let _ = sched_setaffinity(None, &set);
}

/// Keeps the calling thread off `cpus`, unless no other CPU is allowed.
pub(crate) fn avoid(cpus: &[Option<usize>]) {
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

/// Returns how often the calling thread has lost its CPU to another without waiting for anything; 0 if the system does
/// not tell.
pub(crate) fn preemptions() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let found = told
        .lines()
        .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    found
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// Returns the time that a hypervisor has taken from this machine's CPUs, in ticks of 10 ms; 0 if the system does not
/// tell.
pub(crate) fn stolen_ticks() -> u64 {
    let told = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = told.lines().next().unwrap_or_default();
    let mut fields = line.split_ascii_whitespace();
    // The name, then user, nice, system, idle, iowait, irq, softirq and steal.
    fields
        .nth(8)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allowed CPUs, number of shards, and the CPU of each shard.
    type Row<'a> = (&'a [usize], usize, &'a [Option<usize>]);

    #[test]
    fn shards_get_cpus_of_their_own_if_two_are_left_over() {
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
