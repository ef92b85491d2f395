//! Operations → the request rate over time, its bursts and gaps.

use serde::Serialize;

use super::numbers::{float, share};
use super::operation::Operation;
use super::series::{Buckets, Series};

/// Windows in which bursts are measured, ns.
const WINDOWS: [u64; 4] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Request counts, in constant memory whatever the duration.
#[derive(Default)]
pub(super) struct RequestRate {
    requests: u64,
    events: u64,
    buckets: Buckets<u64>,
    windows: [Window; WINDOWS.len()],
    gaps: Gaps,
}

/// Number of requests, their rate and burstiness.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Requests {
    /// Requests; a multi-get counts as one.
    pub count: u64,
    /// Operations, one per key; a multi-get of N keys counts as N.
    pub events: u64,
    /// Mean rate over the recording's duration, requests/s.
    pub mean_per_s: Option<f64>,
    /// Most requests in one second of the recording (seconds counted from its start). Never below the mean, which the
    /// seconds of a recording too short to fill them would not reach.
    pub peak_per_s: u64,
    /// Second of the most requests, counted from the start of the recording.
    pub peak_second: u64,
    /// Request rate over time, requests/s.
    pub rate: Series<f64>,
    /// Burstiness at several time scales.
    pub bursts: Vec<Burst>,
    /// Coefficient of variation (standard deviation over mean) of the time between requests: 1 for independent
    /// arrivals, more for bursts.
    pub interarrival_cv: Option<f64>,
}

/// Burstiness at one time scale: the number of requests in windows of one width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Burst {
    /// Width of the window, s.
    pub window_s: f64,
    /// Variance over mean of the requests per window: 1 for independent (Poisson) arrivals, more for bursts. `None`
    /// with fewer than 10 windows.
    pub index: Option<f64>,
    /// Most requests in one window.
    pub peak: u64,
}

#[derive(Clone, Copy, Default)]
struct Window {
    current: u64,
    count: u64,
    squares: f64,
    peak: u64,
    peak_at: u64,
}

#[derive(Default)]
struct Gaps {
    last: Option<u64>,
    sum: f64,
    squares: f64,
    count: u64,
}

impl RequestRate {
    pub(super) fn observe(&mut self, operation: &Operation) {
        self.events += 1;
        if !operation.first {
            return;
        }
        self.requests += 1;
        *self.buckets.bucket(operation.time) += 1;
        for (window, width) in self.windows.iter_mut().zip(WINDOWS) {
            window.count(operation.time / width);
        }
        self.gaps.arrival(operation.time);
    }

    /// Summarises the requests of a recording that took `duration` ns.
    pub(super) fn finish(mut self, duration: u64) -> Requests {
        self.windows.iter_mut().for_each(Window::close);
        let second = self.windows[WINDOWS.len() - 1];
        let bursts = self.windows.iter().zip(WINDOWS);
        Requests {
            count: self.requests,
            events: self.events,
            mean_per_s: share(self.requests, duration).map(|per_ns| per_ns * 1e9),
            peak_per_s: second.peak.max(whole_mean(self.requests, duration)),
            peak_second: second.peak_at,
            rate: self.buckets.finish(|count, width| float(count) / width.0),
            bursts: bursts
                .map(|(window, width)| window.burst(self.requests, width, duration))
                .collect(),
            interarrival_cv: self.gaps.variation(),
        }
    }
}

/// Returns the mean rate of `requests` in `duration` ns in whole requests per second; 0 without a duration.
fn whole_mean(requests: u64, duration: u64) -> u64 {
    let per_s = u128::from(requests) * 1_000_000_000;
    let mean = per_s.checked_div(duration.into()).unwrap_or(0);
    u64::try_from(mean).unwrap_or(u64::MAX)
}

impl Window {
    fn count(&mut self, window: u64) {
        if window != self.current {
            self.close();
            self.current = window;
        }
        self.count += 1;
    }

    fn close(&mut self) {
        self.squares += float(self.count) * float(self.count);
        if self.count > self.peak {
            self.peak = self.count;
            self.peak_at = self.current;
        }
        self.count = 0;
    }

    fn burst(&self, requests: u64, width: u64, duration: u64) -> Burst {
        let windows = float((duration / width).max(self.current + 1));
        let mean = float(requests) / windows;
        let variance = self.squares / windows - mean * mean;
        Burst {
            window_s: float(width) / 1e9,
            index: (windows >= 10.0 && requests > 0).then(|| variance / mean),
            peak: self.peak,
        }
    }
}

impl Gaps {
    fn arrival(&mut self, time: u64) {
        if let Some(last) = self.last {
            let gap = float(time.saturating_sub(last));
            self.sum += gap;
            self.squares += gap * gap;
            self.count += 1;
        }
        self.last = Some(time);
    }

    fn variation(&self) -> Option<f64> {
        if self.sum <= 0.0 {
            return None;
        }
        let mean = self.sum / float(self.count);
        let variance = (self.squares / float(self.count) - mean * mean).max(0.0);
        Some(variance.sqrt() / mean)
    }
}
