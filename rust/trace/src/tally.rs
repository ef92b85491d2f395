//! Counters of a trace → an account of every call that was made.

use membench_common::trace::counter;
use serde::Serialize;

use crate::kernel::Counts;

/// The account of the calls that were made: `made = shown + lost + skipped`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Calls that traced processes made, of the kinds asked for.
    pub made: u64,
    /// Calls in the output.
    pub shown: u64,
    /// Calls that are missing from it, by cause.
    pub lost: Lost,
    /// Calls that were not asked for, by cause.
    pub skipped: Skipped,
    /// Calls among those made whose beginning was not seen: they began before the trace, or the kernel skipped a program.
    pub unentered: u64,
    /// Calls among those shown that had not returned at the end.
    pub unfinished: u64,
    /// Runs of the programs that the kernel skipped, for whichever process of this machine. A call for which both programs
    /// were skipped is in none of the numbers.
    pub runs_skipped: u64,
    /// Signals and ends of threads that a full ring did not take.
    pub lost_aside: u64,
    /// The way in which calls are seen: `tracepoints` or `functions`.
    pub hooks: &'static str,
    /// Time by which every system call of other processes is longer, ns.
    pub cost_ns: f64,
}

/// Calls that are missing, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The ring was full.
    pub ring_full: u64,
    /// The kernel skipped the program at their return.
    pub unreturned: u64,
    /// Their record could not be read.
    pub malformed: u64,
}

/// Calls that were not asked for, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Faster than asked for.
    pub faster: u64,
    /// Failed or succeeded, unlike what was asked for.
    pub other_outcome: u64,
    /// On other descriptors than sockets of the ports.
    pub other_descriptor: u64,
    /// 32-bit calls.
    pub compat: u64,
    /// Older than what is kept.
    pub older: u64,
}

impl Lost {
    /// Returns the sum.
    pub fn total(&self) -> u64 {
        self.ring_full + self.unreturned + self.malformed
    }
}

impl Skipped {
    /// Returns the sum.
    pub fn total(&self) -> u64 {
        self.faster + self.other_outcome + self.other_descriptor + self.compat + self.older
    }
}

/// Counts of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    /// Calls that were written.
    pub(crate) shown: u64,
    /// Calls that had not returned at the end.
    pub(crate) unfinished: u64,
    /// Calls that were kept and became too old.
    pub(crate) older: u64,
    /// Calls in records, all told.
    pub(crate) taken: u64,
}

/// Joins what the programs counted with what this process did.
pub(crate) fn tally(counts: &Counts, own: Own, totals: bool) -> Tally {
    let emitted = counts.get(counter::SHOWN);
    let malformed = if totals {
        0
    } else {
        emitted.saturating_sub(own.taken)
    };
    Tally {
        made: counts.get(counter::ENTERED) + counts.get(counter::UNENTERED),
        shown: if totals {
            emitted + own.unfinished
        } else {
            own.shown
        },
        lost: Lost {
            ring_full: counts.get(counter::RING_FULL),
            unreturned: counts.get(counter::UNRETURNED),
            malformed,
        },
        skipped: Skipped {
            faster: counts.get(counter::FASTER),
            other_outcome: counts.get(counter::OTHER_OUTCOME),
            other_descriptor: counts.get(counter::OTHER_DESCRIPTOR),
            compat: counts.get(counter::COMPAT),
            older: own.older,
        },
        unentered: counts.get(counter::UNENTERED),
        unfinished: own.unfinished,
        lost_aside: counts.get(counter::ASIDE_RING_FULL),
        ..Tally::default()
    }
}
