//! Runs of the programs → what a hit costs: the kernel's statistics, and the trap that a hit in user space takes.

use std::{
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

use membench_bpf::{Hook, Link, Loaded, RunStatistics, UserPlace};
use membench_event::float;

use crate::{Result, plan::Step};

/// Calls by which the cost of a trap is measured, in each round.
const CALLS: u32 = 500;
/// Rounds, of which the quickest counts: others were disturbed.
const ROUNDS: u32 = 4;

/// The meter of a probe's cost.
pub(crate) struct Cost {
    /// Has the kernel count runs; `None` if this process may not ask it to.
    statistics: Option<RunStatistics>,
    /// Time of a trap, ns.
    trap_ns: f64,
    last: Runs,
}

/// Runs of all programs since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) count: u64,
    pub(crate) time: Duration,
}

/// Cost of the runs since the last look.
pub(crate) struct Spent {
    /// Time of a run, with its trap, ns; `None` without runs.
    pub(crate) per_run_ns: Option<f64>,
    pub(crate) trap_ns: f64,
    /// Time of all runs.
    pub(crate) total: Duration,
}

impl Cost {
    /// Has the kernel count runs, where it may be asked to.
    pub(crate) fn start() -> Self {
        Self {
            statistics: RunStatistics::enable().ok(),
            trap_ns: 0.0,
            last: Runs::default(),
        }
    }

    /// Returns true if the kernel counts runs, so that the programs need not.
    pub(crate) fn is_counted_by_kernel(&self) -> bool {
        self.statistics.is_some()
    }

    /// Measures what a trap costs here: calls of a function of this process, with the programs attached and without.
    pub(crate) fn measure_trap(&mut self, object: &mut Loaded, steps: &[Step]) -> Result<()> {
        let Some(hook) = site() else {
            return Ok(());
        };
        let bare = quickest();
        let links = steps.iter().map(|step| -> Result<Link> {
            let mut program = object.program(step.program)?;
            Ok(program.attach(&hook)?)
        });
        let links: Vec<Link> = links.collect::<Result<_>>()?;
        let before = self.runs(object, steps)?;
        let trapped = quickest();
        let during = self.runs(object, steps)?.since(before);
        drop(links);
        let programs = f64::from(u32::try_from(steps.len()).unwrap_or(1).max(1));
        let each = |time: Duration| nanoseconds(time) / f64::from(CALLS) / programs;
        let inside = during.mean_ns().unwrap_or(0.0);
        self.trap_ns = (each(trapped) - each(bare) - inside).max(0.0);
        Ok(())
    }

    /// Counts the runs after these.
    pub(crate) fn begin(&mut self, runs: Runs) {
        self.last = runs;
    }

    /// Returns what the kernel counts of the programs; nothing if it does not.
    pub(crate) fn runs(&self, object: &mut Loaded, steps: &[Step]) -> Result<Runs> {
        let mut runs = Runs::default();
        for step in steps.iter().filter(|_| self.is_counted_by_kernel()) {
            let info = object.program(step.program)?.info()?;
            runs.count += info.runs;
            runs.time += info.run_time;
        }
        Ok(runs)
    }

    /// Returns what the runs since the last call cost.
    pub(crate) fn take(&mut self, now: Runs) -> Spent {
        let runs = now.since(std::mem::replace(&mut self.last, now));
        self.spent(runs)
    }

    /// Returns what the runs since the last call of `take` cost.
    pub(crate) fn peek(&self, now: Runs) -> Spent {
        self.spent(now.since(self.last))
    }

    fn spent(&self, runs: Runs) -> Spent {
        let traps = float(runs.count) * self.trap_ns;
        Spent {
            per_run_ns: runs.mean_ns().map(|mean| mean + self.trap_ns),
            trap_ns: self.trap_ns,
            total: runs.time + Duration::from_secs_f64(traps / 1e9),
        }
    }
}

impl Runs {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            count: self.count.saturating_sub(before.count),
            time: self.time.saturating_sub(before.time),
        }
    }

    fn mean_ns(self) -> Option<f64> {
        (self.count > 0).then(|| nanoseconds(self.time) / float(self.count))
    }
}

/// The function at which the cost of a trap is measured.
#[inline(never)]
extern "C" fn trapped(number: u64) -> u64 {
    black_box(number) + 1
}

/// Returns the place of [`trapped`], in the file that it was loaded from, in this process alone.
fn site() -> Option<Hook> {
    let address = trapped as extern "C" fn(u64) -> u64 as usize as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (number(start)?, number(end)?);
        if !(start..end).contains(&address) {
            return None;
        }
        let offset = number(fields.nth(1)?)?;
        Some(Hook::UserFunction {
            file: PathBuf::from(fields.nth(2)?),
            place: UserPlace::Offset(address - start + offset),
            process: Some(std::process::id()),
            semaphore: 0,
        })
    })
}

fn quickest() -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        for number in 0..u64::from(CALLS) {
            black_box(trapped(number));
        }
        begun.elapsed()
    });
    rounds.min().unwrap_or_default()
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(count: u64, ns: u64) -> Runs {
        Runs {
            count,
            time: Duration::from_nanos(ns),
        }
    }

    #[test]
    fn a_trap_is_part_of_the_cost_of_each_run() {
        let mut cost = Cost {
            statistics: None,
            trap_ns: 1000.0,
            last: runs(10, 500),
        };
        let spent = cost.take(runs(20, 2500));
        assert_eq!(spent.per_run_ns, Some(1200.0));
        assert_eq!(spent.total, Duration::from_micros(12));
        let spent = cost.take(runs(20, 2500));
        assert_eq!((spent.per_run_ns, spent.total), (None, Duration::ZERO));
    }

    #[test]
    fn the_function_that_is_trapped_is_in_a_file() {
        let Some(Hook::UserFunction { file, .. }) = site() else {
            panic!()
        };
        assert!(file.is_file());
    }
}
