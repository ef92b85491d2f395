//! What a shard counts and measures while it runs.

pub mod histogram;
pub mod outcomes;
pub(crate) mod progress;
pub(crate) mod report;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use membench_event::Outcome;

use crate::make::bytes::{Bytes, Sizes};
use crate::measure::histogram::{Durations, empty};
use crate::measure::outcomes::Transitions;
use crate::operation::{Marks, Operation};

/// Digits of the histograms of one interval.
const INTERVAL_DIGITS: u8 = 2;

/// Why requests were not sent or not answered → how many.
pub type Causes = BTreeMap<&'static str, u64>;

/// Counts of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to the kernel whole.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
    /// Sent, and no answer was due.
    pub suppressed: u64,
    /// Sent, due an answer and got none, by cause.
    pub unanswered: Causes,
    /// Planned but not sent, by cause.
    pub unsent: Causes,
    /// Answered with an error that the recording did not have.
    pub new_errors: u64,
    /// Answers that fit no request.
    pub unexpected: u64,
    /// Connections made again after the target closed them.
    pub reconnects: u64,
    /// Bytes handed to the kernel.
    pub bytes_written: u64,
    /// Bytes received.
    pub bytes_read: u64,
    /// Why they are not those of the recording.
    pub bytes: Bytes,
}

impl Counts {
    /// Requests that failed.
    pub fn errors(&self) -> u64 {
        let unanswered: u64 = self.unanswered.values().sum();
        let failed = self
            .unsent
            .iter()
            .filter(|(cause, _)| **cause != crate::shard::connections::cause::STOPPED);
        let unsent: u64 = failed.map(|(_, count)| count).sum();
        unanswered + unsent + self.new_errors + self.unexpected
    }

    /// Adds another shard's.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            sent,
            answered,
            suppressed,
            unanswered,
            unsent,
            new_errors,
            unexpected,
            reconnects,
            bytes_written,
            bytes_read,
            bytes,
        } = other;
        self.sent += sent;
        self.answered += answered;
        self.suppressed += suppressed;
        merge_causes(&mut self.unanswered, unanswered);
        merge_causes(&mut self.unsent, unsent);
        self.new_errors += new_errors;
        self.unexpected += unexpected;
        self.reconnects += reconnects;
        self.bytes_written += bytes_written;
        self.bytes_read += bytes_read;
        self.bytes.merge(bytes);
    }
}

fn merge_causes(into: &mut Causes, other: &Causes) {
    for (cause, count) in other {
        *into.entry(cause).or_default() += count;
    }
}

/// What one interval saw.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Response times.
    pub response: Histogram<u64>,
    /// Lags.
    pub lag: Histogram<u64>,
    /// Requests sent since the start.
    pub sent: u64,
    /// Requests answered since the start.
    pub answered: u64,
    /// Requests that failed since the start.
    pub errors: u64,
}

impl Interval {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            response: empty(INTERVAL_DIGITS),
            lag: empty(INTERVAL_DIGITS),
            sent: 0,
            answered: 0,
            errors: 0,
        }
    }

    /// Adds another shard's.
    pub fn merge(&mut self, other: &Self) {
        crate::measure::histogram::add(&mut self.response, &other.response);
        crate::measure::histogram::add(&mut self.lag, &other.lag);
        self.sent += other.sent;
        self.answered += other.answered;
        self.errors += other.errors;
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self::new()
    }
}

/// The four stamps of an answered request, monotonic ns.
#[derive(Clone, Copy, Debug)]
pub struct Stamps {
    /// When it should have been sent.
    pub intended: u64,
    /// When it was.
    pub sent: u64,
    /// When the kernel received the last byte that was read with its answer's end.
    pub received: Option<u64>,
    /// When the read that holds its answer's end returned.
    pub parsed: u64,
}

/// Everything a shard measures.
#[derive(Debug)]
pub struct Measures {
    /// Intended → parsed.
    pub response: Durations,
    /// Sent → parsed.
    pub service: Durations,
    /// Sent → received by the kernel.
    pub wire: Durations,
    /// Received by the kernel → parsed.
    pub client: Durations,
    /// Intended → sent.
    pub lag: Durations,
    /// Recorded and replayed outcomes.
    pub transitions: Transitions,
    /// Requests.
    pub counts: Counts,
    interval: Interval,
}

impl Measures {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            response: Durations::new(),
            service: Durations::new(),
            wire: Durations::new(),
            client: Durations::new(),
            lag: Durations::new(),
            transitions: Transitions::new(),
            counts: Counts::default(),
            interval: Interval::new(),
        }
    }

    /// A request left, this late.
    #[inline]
    pub fn sent(&mut self, class: u8, lag: u64, sizes: Sizes) {
        self.counts.sent += 1;
        self.counts.bytes.add_sent(sizes);
        self.lag.record(class, lag);
        self.interval.lag.saturating_record(lag);
    }

    /// A request was answered.
    #[inline]
    pub fn answered(&mut self, class: u8, stamps: &Stamps) {
        self.counts.answered += 1;
        let response = stamps.parsed.saturating_sub(stamps.intended);
        self.response.record(class, response);
        self.interval.response.saturating_record(response);
        self.service
            .record(class, stamps.parsed.saturating_sub(stamps.sent));
        if let Some(received) = stamps.received {
            self.wire
                .record(class, received.saturating_sub(stamps.sent));
            self.client
                .record(class, stamps.parsed.saturating_sub(received));
        }
    }

    /// An operation ended.
    #[inline]
    pub fn outcome(
        &mut self,
        command: membench_event::Command,
        recorded: Option<Outcome>,
        replayed: Outcome,
    ) {
        self.transitions.record(command, recorded, Some(replayed));
        if is_error(replayed) && !recorded.is_some_and(is_error) {
            self.counts.new_errors += 1;
        }
    }

    /// An operation ended, and it cannot be told how.
    pub fn unseen(&mut self, command: membench_event::Command, recorded: Option<Outcome>) {
        self.transitions.record(command, recorded, None);
    }

    /// A request of this recorded size was not sent.
    pub fn unsent(&mut self, cause: &'static str, recorded: u32) {
        *self.counts.unsent.entry(cause).or_default() += 1;
        self.counts.bytes.add_not_sent(cause, recorded);
    }

    /// Requests cannot be sent.
    pub fn refuse(&mut self, operations: &[Operation], cause: &'static str) {
        for operation in operations {
            self.transitions
                .record(operation.command, operation.recorded, None);
        }
        for request in
            operations.chunk_by(|operation, _| operation.marks.has(Marks::REQUEST_CONTINUES))
        {
            self.unsent(cause, request[0].recorded_size);
        }
    }

    /// A sent request got no answer.
    pub fn unanswered(&mut self, cause: &'static str) {
        *self.counts.unanswered.entry(cause).or_default() += 1;
    }

    /// Ends an interval.
    pub fn take_interval(&mut self) -> Interval {
        let mut taken = std::mem::take(&mut self.interval);
        taken.sent = self.counts.sent;
        taken.answered = self.counts.answered;
        taken.errors = self.counts.errors();
        taken
    }

    /// Adds another shard's.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            response,
            service,
            wire,
            client,
            lag,
            transitions,
            counts,
            interval: _,
        } = other;
        self.response.merge(response);
        self.service.merge(service);
        self.wire.merge(wire);
        self.client.merge(client);
        self.lag.merge(lag);
        self.transitions.merge(transitions);
        self.counts.merge(counts);
    }
}

impl Default for Measures {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an outcome is an error line.
pub fn is_error(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::ClientError | Outcome::ServerError)
}
