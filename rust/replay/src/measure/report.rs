//! Measures of the shards, and what else is known of a run → the report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::make::bytes::ByteBalance;
use crate::measure::cause;
use crate::measure::histogram::Summary;
use crate::measure::outcomes::Outcomes;
use crate::measure::totals::Totals;
use crate::measure::{Causes, Counts};
use crate::plan::Plan;
use crate::target::warm::Warm;

/// Largest 99th percentile of lag with which the recorded timing counts as kept, ns.
const LAG_HELD: u64 = 1_000_000;

/// Result of a replay.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Requests of the recording that can be sent.
    pub planned: u64,
    /// Length of the schedule, s.
    pub planned_s: f64,
    /// Requests handed to the kernel to the last byte, or answered before that.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests sent that were due no answer (`noreply`, quiet), or whose answer could not be attributed.
    pub suppressed: u64,
    /// Failures: requests unsent (unless the run was stopped) or unanswered, `new_errors` and `unexpected`.
    pub errors: u64,
    /// Operations that ended in an error where the recording has none.
    pub new_errors: u64,
    /// Answers that fit no request.
    pub unexpected: u64,
    /// Connections made again after they were lost.
    pub reconnects: u64,
    /// Requests of the recording that cannot be sent, by cause.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Planned requests that were not sent, by cause.
    pub unsent: Causes,
    /// Sent requests that got no answer, by cause.
    pub unanswered: Causes,
    /// Requests with a cas value that could not match, because the target had returned none for the recorded one.
    pub unknown_cas: u64,
    /// Response times: intended → parsed.
    pub response_ns: Summary,
    /// Service times: sent → parsed.
    pub service_ns: Summary,
    /// Times on the network and in the server: sent → received by the kernel.
    pub wire_ns: Summary,
    /// Wake-up times of this client: received by the kernel → parsed.
    pub client_ns: Summary,
    /// Lags: intended → sent.
    pub lag_ns: Summary,
    /// Outcomes recorded and replayed.
    pub outcomes: Outcomes,
    /// Cost of generating the load.
    pub generator: Generator,
    /// True if the recorded timing was kept: every request due was sent, with a 99th percentile of lag of at most 1 ms.
    pub timing_held: bool,
    /// True if the observer ended the run early.
    pub stopped: bool,
    /// Time from the start of the schedule to the end of the last shard, s.
    pub duration_s: f64,
    /// Target of the replay.
    pub target: TargetFacts,
    /// Growth of the target's counters; `None` if the target could not be asked any more.
    pub server: Option<Server>,
    /// Items stored beforehand; `None` unless `Options::warm` was set.
    pub warm: Option<Warm>,
}

/// Cost of generating the load.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// CPU time of the sending threads per request, waiting included, ns.
    pub cpu_ns_per_request: f64,
    /// CPUs in use by the sending threads, on average.
    pub cpu_share: f64,
    /// Number of sending threads.
    pub threads: usize,
    /// Time before an intended time at which the sending threads stopped sleeping, ns.
    pub guard_ns: u64,
}

/// Target as it was found.
#[derive(Clone, Debug, Serialize)]
pub struct TargetFacts {
    /// Address as given, `HOST:PORT`.
    pub name: String,
    /// Version of memcached.
    pub version: Option<String>,
    /// Number of memcached's worker threads.
    pub threads: Option<String>,
}

/// Growth of the target's counters, and the bytes it read compared with those written.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// Growth of each counter that grew during the replay.
    pub counters: BTreeMap<String, u64>,
    /// Bytes of requests that the replay handed to the kernel.
    pub bytes_written_by_replay: u64,
    /// Bytes that the target read, without requests for its statistics.
    pub bytes_read: u64,
    /// True if the target read exactly the bytes written.
    pub bytes_agree: bool,
    /// Recorded bytes of the requests that were skipped or not sent, by cause.
    pub bytes_not_replayed: BTreeMap<&'static str, u64>,
    /// Written minus recorded bytes of the requests sent, by the part of the request that differs. Recorded bytes −
    /// `bytes_not_replayed` + `bytes_changed` = bytes written.
    pub bytes_changed: BTreeMap<&'static str, i64>,
}

/// Facts of a run besides the shards' measures.
pub(crate) struct Circumstances {
    pub(crate) planned: u64,
    pub(crate) planned_ns: u64,
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    pub(crate) stopped: bool,
    pub(crate) start: u64,
    pub(crate) target: TargetFacts,
    pub(crate) server: Option<Server>,
    pub(crate) warm: Option<Warm>,
}

impl Report {
    /// Makes the report of a run.
    #[expect(
        clippy::cast_precision_loss,
        reason = "durations are far below 2^53 ns"
    )]
    pub(crate) fn new(totals: &Totals, circumstances: Circumstances) -> Self {
        let Circumstances {
            planned,
            planned_ns,
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
            planned_s: planned_ns as f64 / 1e9,
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
            timing_held: unsent.keys().all(|cause| *cause == cause::STOPPED)
                && lag_ns.overall.p99 <= LAG_HELD,
            unsent,
            lag_ns,
            outcomes: measures.transitions.report(),
            generator: Generator::new(totals, duration_ns),
            stopped,
            duration_s: duration_ns as f64 / 1e9,
            target,
            server,
            warm,
        }
    }
}

impl Generator {
    #[expect(
        clippy::cast_precision_loss,
        reason = "CPU times and counts are far below 2^53"
    )]
    fn new(totals: &Totals, duration_ns: u64) -> Self {
        Self {
            cpu_ns_per_request: totals.cpu as f64 / totals.measures.counts.sent.max(1) as f64,
            cpu_share: totals.cpu as f64 / duration_ns.max(1) as f64,
            threads: totals.threads,
            guard_ns: totals.guard,
        }
    }
}

impl Server {
    /// Compares the bytes that the target read, `read`, with those written, `counts`, and those recorded, `plan`.
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

/// Returns the recorded bytes of requests that were skipped, could not be sent, or were left when the run was stopped,
/// by cause.
fn not_replayed(bytes: &ByteBalance, plan: &Plan) -> BTreeMap<&'static str, u64> {
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
