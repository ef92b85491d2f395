//! A recording's use of its machine → the guard it has reached, if any.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use membench_event::{Setting, size};
use serde::Serialize;

/// CPU time is averaged over this window, so that a burst (sealing a part) does not end a recording.
const CPU_WINDOW: Duration = Duration::from_secs(5);

/// The guards of a recording, which end it before it does harm; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Limits {
    /// Most CPU time of the process, as a share of one CPU over 5 s.
    pub max_cpu: Option<f64>,
    /// Most memory of the process, the rings included, bytes.
    pub max_memory: Option<u64>,
    /// Most bytes written.
    pub max_written: Option<u64>,
    /// Least space that must stay free on the disk written to, bytes.
    pub min_free: Option<u64>,
}

/// Resources that a recording has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time so far, s.
    pub(crate) cpu_s: f64,
    /// Memory, bytes; `None` if the system does not tell.
    pub(crate) memory: Option<u64>,
    /// Bytes written.
    pub(crate) written: u64,
    /// Free space on the disk, bytes; `None` if nothing is written or the system does not tell.
    pub(crate) free: Option<u64>,
}

/// A guard that was reached. Its text names the option that sets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reached {
    /// Share of one CPU: used, allowed.
    Cpu(f64, f64),
    /// Bytes of memory: used, allowed.
    Memory(u64, u64),
    /// Bytes on disk: written, allowed.
    Size(u64, u64),
    /// Bytes of free disk space: left, wanted.
    Free(u64, u64),
}

/// Compares what is used with the limits.
#[derive(Debug)]
pub(crate) struct Guards {
    limits: Limits,
    /// CPU time at earlier checks. The first is as old as the window, once there are enough.
    looks: VecDeque<(Instant, f64)>,
}

impl Guards {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            looks: VecDeque::new(),
        }
    }

    /// Returns the first limit that is reached.
    pub(crate) fn check(&mut self, now: Instant, usage: &Usage) -> Option<Reached> {
        let Usage {
            cpu_s,
            memory,
            written,
            free,
        } = *usage;
        let Limits {
            max_cpu,
            max_memory,
            max_written,
            min_free,
        } = self.limits;
        let over = |used: Option<u64>, limit: Option<u64>| {
            Some((used?, limit?)).filter(|(used, limit)| used > limit)
        };
        let share = self.cpu_share(now, cpu_s);
        None.or_else(|| {
            let (share, limit) = (share?, max_cpu?);
            (share > limit).then_some(Reached::Cpu(share, limit))
        })
        .or_else(|| over(memory, max_memory).map(|(used, limit)| Reached::Memory(used, limit)))
        .or_else(|| {
            over(Some(written), max_written).map(|(used, limit)| Reached::Size(used, limit))
        })
        .or_else(|| over(min_free, free).map(|(limit, free)| Reached::Free(free, limit)))
    }

    /// Returns CPU time over the window, as a share of one CPU; `None` until the first window is over.
    fn cpu_share(&mut self, now: Instant, cpu_s: f64) -> Option<f64> {
        self.looks.push_back((now, cpu_s));
        let is_old = |look: &(Instant, f64)| now.duration_since(look.0) >= CPU_WINDOW;
        while self.looks.get(1).is_some_and(is_old) {
            self.looks.pop_front();
        }
        let (then, before) = *self.looks.front().filter(|look| is_old(look))?;
        Some((cpu_s - before) / now.duration_since(then).as_secs_f64())
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Cpu(used, limit) => write!(
                to,
                "cpu guard: {:.1} % of one CPU over 5 s, `{}` is {:.1} %",
                used * 100.0,
                Setting::MaxCpu,
                limit * 100.0
            ),
            Self::Memory(used, limit) => {
                let (used, limit) = (size(used), size(limit));
                let setting = Setting::MaxMemory;
                write!(to, "memory guard: {used} used, `{setting}` is {limit}")
            }
            Self::Size(used, limit) => {
                let (used, limit) = (size(used), size(limit));
                let setting = Setting::MaxSize;
                write!(
                    to,
                    "size guard: {used} written, the limit is {limit} unless `{setting}` sets another"
                )
            }
            Self::Free(free, limit) => {
                let (free, limit) = (size(free), size(limit));
                let setting = Setting::MinFree;
                write!(to, "disk guard: {free} free, `{setting}` is {limit}")
            }
        }
    }
}

/// Returns the resident memory of this process, bytes.
pub(crate) fn resident_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Usage = Usage {
        cpu_s: 0.0,
        memory: Some(100),
        written: 100,
        free: Some(100),
    };

    #[test]
    fn each_limit_is_reached_by_its_own_usage_only() {
        let limits = Limits {
            max_cpu: None,
            max_memory: Some(100),
            max_written: Some(100),
            min_free: Some(100),
        };
        for (usage, expected) in [
            (QUIET, None),
            (
                Usage {
                    memory: Some(101),
                    ..QUIET
                },
                Some(Reached::Memory(101, 100)),
            ),
            (
                Usage {
                    written: 101,
                    ..QUIET
                },
                Some(Reached::Size(101, 100)),
            ),
            (
                Usage {
                    free: Some(99),
                    ..QUIET
                },
                Some(Reached::Free(99, 100)),
            ),
            (
                Usage {
                    memory: None,
                    free: None,
                    ..QUIET
                },
                None,
            ),
        ] {
            let found = Guards::new(limits).check(Instant::now(), &usage);
            assert_eq!(found, expected, "{usage:?}");
            let found = Guards::new(Limits::default()).check(Instant::now(), &usage);
            assert_eq!(found, None, "no limits: {usage:?}");
        }
    }

    /// Looks four times a second at a process that uses `share` of a CPU in each second.
    fn cpu_reached(shares: &[f64]) -> Option<Reached> {
        let mut guards = Guards::new(Limits {
            max_cpu: Some(0.5),
            ..Limits::default()
        });
        let (mut now, mut cpu_s) = (Instant::now(), 1000.0);
        let quarters = shares.iter().flat_map(|share| [share / 4.0; 4]);
        std::iter::once(0.0).chain(quarters).find_map(|used| {
            cpu_s += used;
            now += Duration::from_millis(250);
            guards.check(now, &Usage { cpu_s, ..QUIET })
        })
    }

    #[test]
    fn a_burst_of_cpu_time_ends_nothing_and_a_steady_excess_does() {
        for (shares, reached) in [
            (&[0.1, 0.1, 2.0, 0.1, 0.1, 0.1, 0.1][..], false),
            (&[2.0, 2.0], false),
            (&[0.4; 20], false),
            (&[0.6; 6], true),
            (&[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0, 1.0, 1.0, 1.0], true),
        ] {
            assert_eq!(cpu_reached(shares).is_some(), reached, "{shares:?}");
        }
    }

    #[test]
    fn a_limit_is_named_with_what_was_found_and_its_option() {
        for (reached, text) in [
            (
                Reached::Cpu(1.5, 1.0),
                "cpu guard: 150.0 % of one CPU over 5 s, `max-cpu` is 100.0 %",
            ),
            (
                Reached::Free(3 << 19, 1 << 30),
                "disk guard: 1.50 MiB free, `min-free` is 1.00 GiB",
            ),
        ] {
            assert_eq!(reached.to_string(), text);
        }
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_memory().is_some_and(|bytes| bytes > 1_000_000));
    }
}
