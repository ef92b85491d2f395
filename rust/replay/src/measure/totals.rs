//! Results of the shards → their totals.

use crate::measure::Measures;

/// Result of one shard.
#[derive(Debug)]
pub(crate) struct ShardResult {
    /// Everything the shard measured.
    pub(crate) measures: Measures,
    /// Requests sent with a cas value that could not match.
    pub(crate) unknown_cas: u64,
    /// CPU time of the shard's thread during the run, ns.
    pub(crate) cpu: u64,
    /// Time that the thread spent watching the clock, ns.
    pub(crate) spun: u64,
    /// Number of times that the thread lost its CPU to another.
    pub(crate) preemptions: u64,
    /// Time before an intended time at which the shard stopped sleeping, ns.
    pub(crate) guard: u64,
    /// Monotonic time at which the shard ended, ns.
    pub(crate) ended: u64,
}

/// Totals of the shards of a run.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Measures of all shards together.
    pub(crate) measures: Measures,
    /// Requests sent with a cas value that could not match.
    pub(crate) unknown_cas: u64,
    /// CPU time of all shards' threads, ns.
    pub(crate) cpu: u64,
    /// Largest CPU time of any thread without that in which it watched the clock, ns.
    pub(crate) busiest: u64,
    /// Number of times that threads lost their CPU to another.
    pub(crate) preemptions: u64,
    /// Largest guard of any shard, ns.
    pub(crate) guard: u64,
    /// Monotonic time at which the last shard ended, ns.
    pub(crate) ended: u64,
    /// Number of shards, each of which is a thread.
    pub(crate) threads: usize,
}

impl Totals {
    /// Adds the result of a shard.
    pub(crate) fn add(&mut self, result: &ShardResult) {
        let ShardResult {
            measures,
            unknown_cas,
            cpu,
            spun,
            preemptions,
            guard,
            ended,
        } = result;
        self.measures.merge(measures);
        self.unknown_cas += unknown_cas;
        self.cpu += cpu;
        self.busiest = self.busiest.max(cpu.saturating_sub(*spun));
        self.preemptions += preemptions;
        self.guard = self.guard.max(*guard);
        self.ended = self.ended.max(*ended);
        self.threads += 1;
    }
}
