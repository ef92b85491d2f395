//! Servers that are observed → one interval after the other.

use std::time::Instant;

use membench_capture::Selection;
use rustix::time::{ClockId, clock_gettime};

use crate::{Interval, Misses, Result, culprits::Culprits, kernel::Kernel, tally::Tally};

/// Servers whose requests are observed, until this is dropped.
pub struct Observer {
    kernel: Kernel,
    tally: Tally,
    culprits: Culprits,
    begun: Instant,
    last: Instant,
    /// The moment at which the programs were detached, on both clocks.
    detached: Option<(Instant, u64)>,
    run_time: Option<u64>,
    skipped: u64,
    ports: Vec<u16>,
}

impl Observer {
    /// Finds the servers, then loads and attaches the programs.
    pub fn start(selection: &Selection) -> Result<Self> {
        let followed = selection.find()?;
        let mut kernel = Kernel::attach(&followed)?;
        let mut tally = Tally::open(&kernel.object)?;
        let culprits = Culprits::open(&kernel.object)?;
        // What came while the programs were attached one after the other is in no interval.
        let now = Instant::now();
        tally.take(monotonic_ns());
        Ok(Self {
            run_time: kernel.run_time()?,
            skipped: kernel.misses()?,
            kernel,
            tally,
            culprits,
            begun: now,
            last: now,
            detached: None,
            ports: followed.ports,
        })
    }

    /// Returns the ports on which requests are observed.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Detaches the programs. What they summed can still be taken.
    pub fn detach(&mut self) {
        if self.detached.is_none() {
            self.tally.freeze();
            self.detached = Some((Instant::now(), monotonic_ns()));
            self.kernel.detach();
        }
    }

    /// Returns what came since the last call.
    pub fn take(&mut self) -> Result<Interval> {
        let (now, clock) = self
            .detached
            .unwrap_or_else(|| (Instant::now(), monotonic_ns()));
        let change = self.tally.take(clock);
        let others = change.waited_briefly + change.waited_for_unknown;
        let culprits = self.culprits.take(others)?;
        let charged: u64 = culprits.iter().map(|culprit| culprit.time_ns).sum();
        let length = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let run_time = self.kernel.run_time()?;
        let spent = run_time
            .zip(self.run_time)
            .map(|(now, before)| now.saturating_sub(before));
        self.run_time = run_time;
        let skipped = self.kernel.misses()?;
        let runs = skipped.saturating_sub(std::mem::replace(&mut self.skipped, skipped));
        let interval_s = length.as_secs_f64();
        let requests = change.account.requests;
        Ok(Interval {
            elapsed_s: now.saturating_duration_since(self.begun).as_secs_f64(),
            interval_s,
            cost_ns_per_request: spent
                .filter(|_| requests > 0)
                .map(|spent| number(spent) / number(requests)),
            cpu_share: spent
                .filter(|_| interval_s > 0.0)
                .map(|spent| number(spent) / 1e9 / interval_s),
            account: change.account,
            culprits,
            waited_ns: charged + others,
            waited_briefly_ns: change.waited_briefly,
            waited_for_unknown_ns: change.waited_for_unknown,
            workers: change.workers,
            misses: Misses {
                runs,
                ..change.misses
            },
        })
    }
}

/// Returns the time of the programs' clock, ns.
fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn number(amount: u64) -> f64 {
    amount as f64
}
