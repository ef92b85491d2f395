//! What shards measured → the report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::make::bytes::Bytes;
use crate::measure::histogram::Summary;
use crate::measure::outcomes::Outcomes;
use crate::measure::{Causes, Counts, Measures};
use crate::plan::Plan;
use crate::shard::connections::cause;
use crate::target::warm::Warm;

/// The timing held if 99 of 100 requests left within this of their intended time, ns.
const LAG_HELD: u64 = 1_000_000;

/// What a replay did and what it took.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Requests of the recording that can be sent.
    pub planned: u64,
    /// Requests handed to the kernel whole.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests sent for which no answer was due (`noreply`, quiet) and none came.
    pub suppressed: u64,
    /// Requests without the answer due, not sent, or answered with an error that the recording does not have.
    pub errors: u64,
    /// Requests that ended in an error the recording does not have.
    pub new_errors: u64,
    /// Answers that fit no request.
    pub unexpected: u64,
    /// Connections made again after the target closed them.
    pub reconnects: u64,
    /// Requests of the recording that are not replayed, by cause.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Planned requests that were not sent, by cause.
    pub unsent: Causes,
    /// Sent requests that got no answer, by cause.
    pub unanswered: Causes,
    /// Requests with a cas value that could not match, as the target had not returned one for it.
    pub unknown_cas: u64,
    /// Intended → parsed.
    pub response_ns: Summary,
    /// Sent → parsed.
    pub service_ns: Summary,
    /// Sent → received by the kernel: the network and the server.
    pub wire_ns: Summary,
    /// Received by the kernel → parsed: this client waking up.
    pub client_ns: Summary,
    /// Intended → sent.
    pub lag_ns: Summary,
    /// Outcomes recorded and replayed.
    pub outcomes: Outcomes,
    /// What it took to make the load.
    pub generator: Generator,
    /// Whether the recorded timing was kept: everything was sent, and the 99th percentile of lag is at most 1 ms.
    pub timing_held: bool,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// From the start of the schedule to the last answer, s.
    pub duration_s: f64,
    /// What it ran against.
    pub target: TargetFacts,
    /// What the target counted meanwhile; none if it could not be asked any more.
    pub server: Option<Server>,
    /// What was stored beforehand; none unless asked for.
    pub warm: Option<Warm>,
}

/// What it took to make the load.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// CPU time of the sending threads for each request, waiting included, ns.
    pub cpu_ns_per_request: f64,
    /// CPUs that the sending threads used.
    pub cpu_share: f64,
    /// Sending threads.
    pub threads: usize,
    /// How long before an intended time they stopped sleeping, ns.
    pub guard_ns: u64,
}

/// A target, as found.
#[derive(Clone, Debug, Serialize)]
pub struct TargetFacts {
    /// As given.
    pub name: String,
    /// memcached's version.
    pub version: Option<String>,
    /// Its threads.
    pub threads: Option<String>,
}

/// A target's counters during the replay.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// How much each grew.
    pub counters: BTreeMap<String, u64>,
    /// Bytes of requests that the replay handed to the kernel.
    pub bytes_written_by_replay: u64,
    /// Bytes that the target read, but for questions about itself.
    pub bytes_read: u64,
    /// Whether those agree.
    pub bytes_agree: bool,
    /// Recorded bytes of the requests that were skipped or not sent, by cause.
    pub bytes_not_replayed: BTreeMap<&'static str, u64>,
    /// How much longer the requests sent were than recorded, by what was made anew. Recorded bytes less those not
    /// replayed, with these, are the bytes written.
    pub bytes_changed: BTreeMap<&'static str, i64>,
}

/// What the shards of a run add up to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) measures: Measures,
    pub(crate) unknown_cas: u64,
    pub(crate) cpu: u64,
    pub(crate) guard: u64,
    pub(crate) ended: u64,
    pub(crate) threads: usize,
}

impl Totals {
    /// Adds a shard.
    pub(crate) fn add(&mut self, outcome: &crate::shard::Outcome) {
        let crate::shard::Outcome {
            measures,
            unknown_cas,
            cpu,
            guard,
            ended,
        } = outcome;
        self.measures.merge(measures);
        self.unknown_cas += unknown_cas;
        self.cpu += cpu;
        self.guard = self.guard.max(*guard);
        self.ended = self.ended.max(*ended);
        self.threads += 1;
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "CPU times and counts are far below 2^53"
    )]
    fn generator(&self, duration_ns: u64) -> Generator {
        Generator {
            cpu_ns_per_request: self.cpu as f64 / self.measures.counts.sent.max(1) as f64,
            cpu_share: self.cpu as f64 / duration_ns.max(1) as f64,
            threads: self.threads,
            guard_ns: self.guard,
        }
    }
}

/// What is known besides the shards' measures.
pub(crate) struct Circumstances {
    pub(crate) planned: u64,
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    pub(crate) stopped: bool,
    pub(crate) start: u64,
    pub(crate) target: TargetFacts,
    pub(crate) server: Option<Server>,
    pub(crate) warm: Option<Warm>,
}

impl Report {
    #[expect(
        clippy::cast_precision_loss,
        reason = "durations are far below 2^53 ns"
    )]
    pub(crate) fn new(totals: &Totals, circumstances: Circumstances) -> Self {
        let Circumstances {
            planned,
            skipped,
            stopped,
            start,
            target,
            server,
            warm,
        } = circumstances;
        let measures = &totals.measures;
        let counts = &measures.counts;
        let lag_ns = measures.lag.summary();
        let duration_ns = totals.ended.saturating_sub(start);
        let mut unsent = counts.unsent.clone();
        let refused: u64 = unsent.values().sum();
        let left = planned.saturating_sub(counts.sent + refused);
        if left > 0 {
            *unsent.entry(cause::STOPPED).or_default() += left;
        }
        Self {
            planned,
            sent: counts.sent,
            answered: counts.answered,
            suppressed: counts.suppressed,
            errors: counts.errors(),
            new_errors: counts.new_errors,
            unexpected: counts.unexpected,
            reconnects: counts.reconnects,
            skipped,
            unanswered: counts.unanswered.clone(),
            unknown_cas: totals.unknown_cas,
            response_ns: measures.response.summary(),
            service_ns: measures.service.summary(),
            wire_ns: measures.wire.summary(),
            client_ns: measures.client.summary(),
            timing_held: unsent.is_empty() && lag_ns.overall.p99 <= LAG_HELD,
            unsent,
            lag_ns,
            outcomes: measures.transitions.report(),
            generator: totals.generator(duration_ns),
            stopped,
            duration_s: duration_ns as f64 / 1e9,
            target,
            server,
            warm,
        }
    }
}

impl Server {
    pub(crate) fn new(
        counters: BTreeMap<String, u64>,
        read: u64,
        counts: &Counts,
        plan: &Plan,
    ) -> Self {
        Self {
            counters,
            bytes_written_by_replay: counts.bytes_written,
            bytes_read: read,
            bytes_agree: counts.bytes_written == read,
            bytes_not_replayed: not_replayed(&counts.bytes, plan),
            bytes_changed: counts.bytes.changed.clone(),
        }
    }
}

/// Recorded bytes of what was skipped, of what could not be sent, and of what a stopped run did not come to.
fn not_replayed(bytes: &Bytes, plan: &Plan) -> BTreeMap<&'static str, u64> {
    let mut all = plan.skipped_bytes.clone();
    let refused: u64 = bytes.not_sent.values().sum();
    for (cause, size) in &bytes.not_sent {
        *all.entry(cause).or_default() += size;
    }
    let left = plan.bytes.saturating_sub(bytes.sent + refused);
    if left > 0 {
        *all.entry(cause::STOPPED).or_default() += left;
    }
    all
}
