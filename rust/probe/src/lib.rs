//! Any hook of the kernel or of a program → counts, rates, histograms, times and stacks, without a compiler.
//!
//! ```text
//! `kprobe:tcp_sendmsg` ─▶ Spec ─▶ Plan ─▶ programs, attached ─▶ Tally ─▶ Interval
//!                                  │ settings                    │ stacks
//!                                  └▶ committed object           └▶ Symbols ─▶ folded, flame graph
//! ```
//!
//! The programs filter and aggregate in the kernel: a hit costs no record, and nothing is read but sums.

mod binary;
mod buckets;
mod catalog;
mod cost;
mod error;
mod flame;
mod hook;
mod interval;
mod names;
mod operands;
mod plan;
mod probe;
mod registers;
mod scene;
mod symbols;
mod tally;
mod tracefs;

use std::path::PathBuf;

pub use catalog::{Found, hooks};
pub use error::{Error, Result};
pub use hook::Spec;
pub use interval::{Bucket, Group, Histogram, Interval, Lost, Stack};
pub use probe::Probe;
pub use symbols::{KERNEL, Symbols};

/// Options of a probe.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The hook, as [`Spec`] parses it.
    pub hook: String,
    /// Processes to observe; every one if empty.
    pub pids: Vec<u32>,
    /// Names of threads to observe; all if empty.
    pub comms: Vec<String>,
    /// Control groups to observe; all if empty.
    pub cgroups: Vec<PathBuf>,
    /// Ports of which the socket that the hook passes has one, at either end; all if empty.
    pub ports: Vec<u16>,
    /// The operand whose histogram is counted.
    pub histogram: Option<String>,
    /// Range and steps of the histogram; `None` for powers of two.
    pub linear: Option<Linear>,
    /// True for a histogram of the time between the beginning and the end of a call.
    pub latency: bool,
    /// True to count stacks.
    pub stacks: bool,
    /// Number of stacks of an interval, the most frequent first.
    pub top: usize,
    /// The thing whose counts are kept apart.
    pub by: Option<By>,
    /// Share of one CPU above which [`Probe::excess`] tells.
    pub max_cost: Option<f64>,
}

/// Range and steps of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The least value.
    pub least: i64,
    /// The value after the largest.
    pub most: i64,
    /// Width of a bucket.
    pub step: u64,
}

/// The thing whose counts are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Processes.
    Process,
    /// Threads.
    Thread,
    /// CPUs.
    Cpu,
    /// Functions, if the hook is a pattern, whose counts are always kept apart.
    Function,
}
