//! Requests sent, answers and outcomes → counts and histograms of a shard.

pub(crate) mod cause;
pub(crate) mod histogram;
pub(crate) mod merge;
pub(crate) mod outcomes;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod totals;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use membench_event::{Command, Outcome};
use serde::Serialize;

use crate::late::Late;
use crate::make::bytes::{ByteBalance, Sizes};
use crate::make::template::Templates;
use crate::measure::histogram::{Durations, add, class_of_request, empty};
use crate::measure::outcomes::Transitions;
use crate::operation::{Marks, Operation};

/// Significant decimal digits of the histograms of one interval.
const INTERVAL_DIGITS: u8 = 2;

/// Number of requests that were not sent or not answered, by cause.
pub type Causes = BTreeMap<&'static str, u64>;

/// Counts of requests, answers and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests handed to the kernel to the last byte, or answered before that.
    pub(crate) sent: u64,
    /// Requests sent later than is allowed.
    pub(crate) late: u64,
    /// Stores that follow misses at the target.
    pub(crate) fills: FillCounts,
    /// Requests answered.
    pub(crate) answered: u64,
    /// Requests sent that were due no answer, or whose answer could not be attributed.
    pub(crate) suppressed: u64,
    /// Requests sent that were due an answer and got none, by cause.
    pub(crate) unanswered: Causes,
    /// Requests planned but not sent, by cause.
    pub(crate) unsent: Causes,
    /// Operations that ended in an error where the recording has none.
    pub(crate) new_errors: u64,
    /// Answers that fit no request.
    pub(crate) unexpected: u64,
    /// Connections made again after they were lost.
    pub(crate) reconnects: u64,
    /// Bytes handed to the kernel.
    pub(crate) bytes_written: u64,
    /// Bytes received.
    pub(crate) bytes_read: u64,
    /// Balance between the recorded bytes and `bytes_written`.
    pub(crate) bytes: ByteBalance,
}

impl Counts {
    /// Returns the number of failures. A request left unsent because the run was stopped is none.
    pub(crate) fn errors(&self) -> u64 {
        let unanswered: u64 = self.unanswered.values().sum();
        let failed = self
            .unsent
            .iter()
            .filter(|(cause, _)| **cause != cause::STOPPED);
        let unsent: u64 = failed.map(|(_, count)| count).sum();
        unanswered + unsent + self.new_errors + self.unexpected
    }

    /// Counts the bytes that signing in on a connection took.
    pub(crate) fn signed_in(&mut self, size: usize) {
        self.bytes_written += size as u64;
        self.bytes.add_sign_in(size as u64);
    }

    /// Adds the counts of another shard.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Self {
            sent,
            late,
            fills,
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
        self.late += late;
        self.fills.scheduled += fills.scheduled;
        self.fills.stored += fills.stored;
        self.fills.unknown += fills.unknown;
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

/// Stores that follow misses at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FillCounts {
    /// Misses at the target that a store was to follow.
    pub scheduled: u64,
    /// Stores among them that the target stored.
    pub stored: u64,
    /// Misses at the target that no store can follow, as the recording shows no value of the key.
    pub unknown: u64,
}

/// Lookup without a result at the target, which is to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) key: u64,
    pub(crate) key_size: u8,
    pub(crate) key_prefix: u8,
    /// Index of the form of the fill.
    pub(crate) form: u32,
}

/// Histograms of one interval, and counts up to its end.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Response times within the interval, ns.
    pub(crate) response: Histogram<u64>,
    /// Lags within the interval, ns.
    pub(crate) lag: Histogram<u64>,
    /// Requests sent since the start.
    pub(crate) sent: u64,
    /// Requests answered since the start.
    pub(crate) answered: u64,
    /// Failures since the start, as [`Counts::errors`] counts them.
    pub(crate) errors: u64,
}

impl Interval {
    /// Makes an interval without durations and with counts of zero.
    pub(crate) fn new() -> Self {
        Self {
            response: empty(INTERVAL_DIGITS),
            lag: empty(INTERVAL_DIGITS),
            sent: 0,
            answered: 0,
            errors: 0,
        }
    }

    /// Adds the interval of another shard.
    pub(crate) fn merge(&mut self, other: &Self) {
        add(&mut self.response, &other.response);
        add(&mut self.lag, &other.lag);
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

/// Times of one read from a socket, monotonic ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Time at which the kernel received the last byte of the read; `None` without a kernel stamp.
    pub(crate) received: Option<u64>,
    /// Time at which the read returned.
    pub(crate) parsed: u64,
}

/// The four stamps of an answered request, monotonic ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    /// Time at which the schedule wanted the request sent.
    pub(crate) intended: u64,
    /// Time just before the `send` that took the last byte of the request.
    pub(crate) sent: u64,
    /// Times of the read that held the end of the answer.
    pub(crate) arrival: Arrival,
}

/// Everything a shard measures.
#[derive(Debug)]
pub(crate) struct Measures {
    /// Response times: intended → parsed.
    pub(crate) response: Durations,
    /// Service times: sent → parsed.
    pub(crate) service: Durations,
    /// Times on the wire and in the server: sent → received by the kernel.
    pub(crate) wire: Durations,
    /// Wake-up times of this client: received by the kernel → parsed.
    pub(crate) client: Durations,
    /// Lags: intended → sent.
    pub(crate) lag: Durations,
    /// Recorded and replayed outcomes.
    pub(crate) transitions: Transitions,
    /// Counts of requests, answers and bytes.
    pub(crate) counts: Counts,
    /// Misses for which no fill is scheduled yet.
    pub(crate) misses: Vec<Missed>,
    /// Lag from which a request counts as late, ns.
    late_after: u64,
    interval: Interval,
}

impl Measures {
    /// Makes empty measures.
    pub(crate) fn new(late: Late) -> Self {
        Self {
            response: Durations::new(),
            service: Durations::new(),
            wire: Durations::new(),
            client: Durations::new(),
            lag: Durations::new(),
            transitions: Transitions::new(),
            counts: Counts::default(),
            misses: Vec::new(),
            late_after: late.after,
            interval: Interval::new(),
        }
    }

    /// Counts a request that left `lag` ns after its intended time.
    #[inline]
    pub(crate) fn sent(&mut self, class: u8, lag: u64, sizes: Sizes) {
        self.counts.sent += 1;
        self.counts.late += u64::from(lag > self.late_after);
        self.counts.bytes.add_sent(sizes);
        self.lag.record(class, lag);
        self.interval.lag.saturating_record(lag);
    }

    /// Counts a request that was answered.
    #[inline]
    pub(crate) fn answered(&mut self, class: u8, stamps: &Stamps) {
        let Stamps {
            intended,
            sent,
            arrival: Arrival { received, parsed },
        } = *stamps;
        self.counts.answered += 1;
        let response = parsed.saturating_sub(intended);
        self.response.record(class, response);
        self.interval.response.saturating_record(response);
        self.service.record(class, parsed.saturating_sub(sent));
        if let Some(received) = received {
            self.wire.record(class, received.saturating_sub(sent));
            self.client.record(class, parsed.saturating_sub(received));
        }
    }

    /// Counts an operation that ended as `replayed`.
    #[inline]
    pub(crate) fn outcome(
        &mut self,
        command: Command,
        creates: bool,
        recorded: Option<Outcome>,
        replayed: Outcome,
    ) {
        self.transitions
            .record(command, creates, recorded, Some(replayed));
        if is_error(replayed) && !recorded.is_some_and(is_error) {
            self.counts.new_errors += 1;
        }
    }

    /// Notes a miss at the target; `fill` is the number of the store that follows.
    pub(crate) fn missed(&mut self, key: u64, key_size: u8, key_prefix: u8, fill: u32) {
        if fill == u32::MAX {
            self.counts.fills.unknown += 1;
            return;
        }
        self.misses.push(Missed {
            key,
            key_size,
            key_prefix,
            form: fill - 1,
        });
    }

    /// Counts the outcome of a fill; `None` is one that is not known.
    pub(crate) fn filled(&mut self, outcome: Option<Outcome>) {
        self.counts.fills.stored += u64::from(outcome == Some(Outcome::Stored));
        self.counts.new_errors += u64::from(outcome.is_some_and(is_error));
    }

    /// Counts an operation whose outcome is not known.
    pub(crate) fn unseen(&mut self, command: Command, creates: bool, recorded: Option<Outcome>) {
        self.transitions.record(command, creates, recorded, None);
    }

    /// Counts a request of `recorded` bytes that was not sent, after it had waited for this long, ns; `None` if it was
    /// not due yet, or no answer to it is.
    pub(crate) fn unsent(
        &mut self,
        cause: &'static str,
        recorded: u32,
        class: u8,
        waited: Option<u64>,
    ) {
        *self.counts.unsent.entry(cause).or_default() += 1;
        self.counts.bytes.add_not_sent(cause, recorded);
        if let Some(waited) = waited {
            self.response.record_unanswered(class, waited);
        }
    }

    /// Counts the requests made of `operations` as not sent by `elapsed`, ns after the start of the schedule.
    pub(crate) fn refuse(
        &mut self,
        operations: &[Operation],
        cause: &'static str,
        elapsed: u64,
        templates: &Templates,
    ) {
        for operation in operations {
            let creates = operation.marks.has(Marks::VIVIFIES);
            if operation.marks.has(Marks::FILL) {
                continue;
            }
            self.unseen(operation.command, creates, operation.recorded);
        }
        for request in
            operations.chunk_by(|operation, _| operation.marks.has(Marks::REQUEST_CONTINUES))
        {
            let Some(first) = request.first() else {
                continue;
            };
            let waited = elapsed
                .checked_sub(first.intended)
                .filter(|_| !templates.get(first.options).is_quiet(first));
            self.unsent(
                cause,
                first.recorded_size,
                class_of_request(request),
                waited,
            );
        }
    }

    /// Counts a request that was sent and due an answer, which had not come by `stamps.arrival`.
    pub(crate) fn unanswered(&mut self, cause: &'static str, class: u8, stamps: &Stamps) {
        let Stamps {
            intended,
            sent,
            arrival: Arrival { received, parsed },
        } = *stamps;
        *self.counts.unanswered.entry(cause).or_default() += 1;
        self.response
            .record_unanswered(class, parsed.saturating_sub(intended));
        self.service
            .record_unanswered(class, parsed.saturating_sub(sent));
        if let Some(received) = received {
            self.wire
                .record_unanswered(class, received.saturating_sub(sent));
        }
    }

    /// Returns the interval that ends now, and starts the next.
    pub(crate) fn take_interval(&mut self) -> Interval {
        let mut taken = std::mem::take(&mut self.interval);
        taken.sent = self.counts.sent;
        taken.answered = self.counts.answered;
        taken.errors = self.counts.errors();
        taken
    }

    /// Adds the measures of another shard, except its running interval.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Self {
            response,
            service,
            wire,
            client,
            lag,
            transitions,
            counts,
            misses: _,
            late_after: _,
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
        Self::new(Late::default())
    }
}

/// True if the target answered with an error.
pub(crate) fn is_error(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::ClientError | Outcome::ServerError)
}
