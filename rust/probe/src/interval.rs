//! One interval of a probe.

use serde::Serialize;

/// One interval of a probe.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// The hook.
    pub hook: String,
    /// Time from the start of the probe to the end of the interval, s.
    pub elapsed_s: f64,
    /// Length of the interval, s.
    pub interval_s: f64,
    /// Hits; with pairs of beginning and end, ends.
    pub count: u64,
    /// Hits a second.
    pub rate: f64,
    /// Hits for which the kernel did not run the program, because it was running on that CPU already.
    pub misses: u64,
    /// Time that a hit costs the task that makes it, ns; `None` if there was none.
    pub cost_ns: Option<f64>,
    /// Part of `cost_ns` that the trap into the kernel takes, ns; 0 for hooks in the kernel.
    pub trap_ns: f64,
    /// Time that all hits cost, as a share of one CPU.
    pub cpu_share: f64,
    /// Hits that are not in each of the counts.
    pub lost: Lost,
    /// The histogram, if one was asked for.
    pub histogram: Option<Histogram>,
    /// Counts apart, the largest first.
    pub groups: Vec<Group>,
    /// Stacks, the most frequent first.
    pub stacks: Vec<Stack>,
    /// Number of stacks in all.
    pub stacks_seen: u64,
}

/// Hits that are not in each of the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Ends of calls whose beginning is not known: they had begun before the probe, or were inside one another.
    pub unpaired: u64,
    /// Hits of processes or threads beyond the most that are kept apart.
    pub ungrouped: u64,
    /// Hits whose stack could not be kept.
    pub unstacked: u64,
    /// Hits whose value could not be read.
    pub unreadable: u64,
}

/// Values by size.
#[derive(Clone, Debug, Serialize)]
pub struct Histogram {
    /// The thing that was measured: an operand, or `latency`.
    pub value: String,
    /// Unit of the values; `None` if the operand's is not known.
    pub unit: Option<&'static str>,
    /// Number of values.
    pub count: u64,
    /// Sum of the values divided by their number; `None` without any.
    pub mean: Option<f64>,
    /// Buckets from the first to the last that is not empty.
    pub buckets: Vec<Bucket>,
}

/// Values from `low` on and below `high`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// The least value; `None` if there is no bound.
    pub low: Option<i128>,
    /// The value after the largest; `None` if there is no bound.
    pub high: Option<i128>,
    /// Number of values.
    pub count: u64,
}

/// Counts of a process, a thread, a CPU or a function.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its number; `None` for functions.
    pub id: Option<u32>,
    /// Its name; `None` for CPUs.
    pub name: Option<String>,
    /// Hits.
    pub count: u64,
    /// The histogram, if one was asked for.
    pub histogram: Option<Histogram>,
}

/// A stack and how often it was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Stack {
    /// Hits.
    pub count: u64,
    /// The process.
    pub process: u32,
    /// Its name; `None` if it is gone.
    pub name: Option<String>,
    /// Functions, from the innermost to the outermost: those of the kernel end in `_[k]`.
    pub frames: Vec<String>,
}
