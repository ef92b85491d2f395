//! Intervals of the shards → progress of the whole run, once a second.

use std::time::Duration;

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag},
    },
};
use serde::Serialize;

use crate::clock::{SECOND, monotonic};
use crate::measure::Interval;

/// Progress of a running replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// Time since the start of the schedule, s.
    pub elapsed_s: f64,
    /// Length of the schedule, s.
    pub planned_s: f64,
    /// Requests to send in the whole run.
    pub planned: u64,
    /// Requests sent so far.
    pub sent: u64,
    /// Requests answered so far.
    pub answered: u64,
    /// Failures so far: requests unsent or unanswered, answers that fit no request, and errors the recording does not
    /// have.
    pub errors: u64,
    /// Requests sent since the last progress, per second.
    pub rate: f64,
    /// 99th percentile of the response times since the last progress, ns; `None` if nothing was answered.
    pub response_p99_ns: Option<u64>,
    /// 99th percentile of the lags since the last progress, ns; `None` if nothing was sent.
    pub lag_p99_ns: Option<u64>,
    /// Lines of an interval log of HDR histograms: the response times of answered requests and the lags, ns, since the
    /// last progress. `None` unless asked for.
    pub histogram_log: Option<String>,
}

/// Sum of what the shards report, from which [`Progress`] is made.
#[derive(Debug)]
pub(crate) struct ProgressMeter {
    /// Requests of the schedule, and its length, ns.
    planned: (u64, u64),
    /// Monotonic time of the schedule's start, ns.
    start: u64,
    /// Requests sent and answered, and failures, as each shard last reported them.
    shards: Vec<[u64; 3]>,
    /// Sum of the intervals reported since the last progress.
    interval: Interval,
    /// Requests sent by the last progress, and its monotonic time, ns.
    before: (u64, u64),
    logs_histograms: bool,
}

impl ProgressMeter {
    /// Makes a meter for a schedule of `planned` requests and ns that starts at `start` (monotonic ns).
    pub(crate) fn new(
        planned: (u64, u64),
        start: u64,
        shards: usize,
        logs_histograms: bool,
    ) -> Self {
        Self {
            logs_histograms,
            planned,
            start,
            shards: vec![[0; 3]; shards],
            interval: Interval::new(),
            before: (0, start),
        }
    }

    /// Returns the monotonic time of the schedule's start, ns.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Adds the interval that `shard` reports.
    pub(crate) fn add(&mut self, shard: usize, interval: &Interval) {
        self.interval.merge(interval);
        if let Some(counts) = self.shards.get_mut(shard) {
            *counts = [interval.sent, interval.answered, interval.errors];
        }
    }

    /// Returns the progress up to now, and starts the next interval.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and times are far below 2^53"
    )]
    pub(crate) fn take(&mut self) -> Progress {
        let interval = std::mem::take(&mut self.interval);
        let sum = |index: usize| self.shards.iter().map(|counts| counts[index]).sum();
        let (sent, now): (u64, u64) = (sum(0), monotonic());
        let (sent_before, before) = std::mem::replace(&mut self.before, (sent, now));
        let seconds = |time: u64| time as f64 / SECOND as f64;
        Progress {
            elapsed_s: seconds(now.saturating_sub(self.start)),
            planned_s: seconds(self.planned.1),
            planned: self.planned.0,
            sent,
            answered: sum(1),
            errors: sum(2),
            rate: (sent - sent_before) as f64 / seconds(now.saturating_sub(before)).max(1e-9),
            response_p99_ns: p99(&interval.response),
            lag_p99_ns: p99(&interval.lag),
            histogram_log: self.logs_histograms.then(|| {
                let since = Duration::from_nanos(before.saturating_sub(self.start));
                log(
                    &interval,
                    since,
                    Duration::from_nanos(now.saturating_sub(before)),
                )
            }),
        }
    }
}

/// Returns lines of an interval log.
/// <https://github.com/HdrHistogram/HdrHistogram/blob/master/src/main/java/org/HdrHistogram/HistogramLogWriter.java>
fn log(interval: &Interval, since: Duration, length: Duration) -> String {
    let mut lines = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let written = IntervalLogWriterBuilder::new()
        .begin_log_with(&mut lines, &mut serializer)
        .map_err(IntervalLogWriterError::IoError)
        .and_then(|mut log| {
            for (tag, durations) in [("response", &interval.response), ("lag", &interval.lag)] {
                log.write_histogram(durations, since, length, Tag::new(tag))?;
            }
            Ok(())
        });
    written.expect("memory takes every byte, and a histogram of constant bounds has a form");
    String::from_utf8_lossy(&lines).into_owned()
}

fn p99(durations: &Histogram<u64>) -> Option<u64> {
    (!durations.is_empty()).then(|| durations.value_at_quantile(0.99))
}
