//! Measures of the shards, and what else is known of a run → the report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::late::Late;
use crate::make::bytes::ByteBalance;
use crate::measure::cause;
use crate::measure::histogram::{StoredPair, Summary};
use crate::measure::merge::stored;
use crate::measure::outcomes::Outcomes;
use crate::measure::totals::Totals;
use crate::measure::{Causes, Counts, FillCounts};
use crate::plan::Plan;
use crate::plan::expiry::Expiries;
use crate::target::facts::{TargetFacts, TargetShare};
use crate::target::warm::Warm;

/// Largest 99th percentile of lag with which the timing counts as kept, ns, however short the response times are.
const LAG_HELD: u64 = 100_000;

/// Share of the median response time that the 99th percentile of lag may be instead.
const LAG_SHARE: u64 = 20;

/// Nanoseconds of a tick in which the system counts stolen time.
const TICK: u64 = 10_000_000;

/// Result of a replay.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Requests of the recording that can be sent, as often as they are to be, and the stores that followed misses.
    pub planned: u64,
    /// Length of the schedule, s; 0 if the target decides it.
    pub planned_s: f64,
    /// Requests handed to the kernel to the last byte, or answered before that.
    pub sent: u64,
    /// Requests sent more than `late_after_ns` after their intended time.
    pub late: u64,
    /// Lag from which a request counts as late, ns.
    pub late_after_ns: u64,
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
    /// True if the timing was kept: every request due was sent, with a 99th percentile of lag of at most 100 µs, or 5 % of
    /// the median response time if that is more.
    pub timing_held: bool,
    /// True if the observer ended the run early.
    pub stopped: bool,
    /// Time from the start of the schedule to the end of the last shard, s.
    pub duration_s: f64,
    /// Target of the replay.
    pub target: TargetFacts,
    /// Each target with its servers, if there are several.
    pub targets: Vec<TargetShare>,
    /// Growth of the targets' counters; `None` if a target does not tell, or could not be asked any more.
    pub server: Option<Server>,
    /// Items stored beforehand; `None` unless `Options::warm` was set.
    pub warm: Option<Warm>,
    /// Stores that followed misses at the target, which are in the other counts, too; `None` if fills were sent as
    /// recorded.
    pub fills: Option<FillCounts>,
    /// Expiry times that were scaled; `None` at the recorded speed.
    pub expiries: Option<Expiries>,
    /// Keys that are the same as those of other ids, because too few of their length exist for all rounds and copies.
    pub shared_keys: u64,
    /// Histograms, by which results of several processes are added; `None` unless `Options::keep_histograms` was set.
    pub histograms: Option<BTreeMap<String, BTreeMap<String, StoredPair>>>,
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
    /// Way in which they waited: `sleep`, `hybrid` or `spin`.
    pub wait: &'static str,
    /// Time before an intended time at which the sending threads stopped sleeping, ns; 0 if they slept to the end or not
    /// at all.
    pub guard_ns: u64,
    /// CPU time of the busiest sending thread without that in which it only watched the clock, of the run's time.
    pub busiest_share: f64,
    /// Number of times that sending threads lost their CPU to another thread.
    pub preemptions: u64,
    /// Time that a hypervisor took from this machine's CPUs during the run, s.
    pub stolen_s: f64,
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
    pub(crate) targets: Vec<TargetShare>,
    pub(crate) server: Option<Server>,
    pub(crate) warm: Option<Warm>,
    pub(crate) late: Late,
    pub(crate) expiries: Option<Expiries>,
    pub(crate) keeps_histograms: bool,
    pub(crate) shared_keys: u64,
    /// Time that a hypervisor took during the run, ticks.
    pub(crate) stolen: u64,
    pub(crate) wait: &'static str,
    pub(crate) is_lookaside: bool,
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
            targets,
            server,
            warm,
            late,
            expiries,
            keeps_histograms,
            shared_keys,
            stolen,
            wait,
            is_lookaside,
        } = circumstances;
        let measures = &totals.measures;
        let counts = &measures.counts;
        let lag_ns = measures.lag.summary();
        let response_ns = measures.response.summary();
        let lag_held = LAG_HELD.max(response_ns.overall.p50 / LAG_SHARE);
        let duration_ns = totals.ended.saturating_sub(start);
        let planned = planned + counts.fills.scheduled;
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
            late: counts.late,
            late_after_ns: late.after,
            answered: counts.answered,
            suppressed: counts.suppressed,
            errors: counts.errors(),
            new_errors: counts.new_errors,
            unexpected: counts.unexpected,
            reconnects: counts.reconnects,
            skipped,
            unanswered: counts.unanswered.clone(),
            unknown_cas: totals.unknown_cas,
            response_ns,
            service_ns: measures.service.summary(),
            wire_ns: measures.wire.summary(),
            client_ns: measures.client.summary(),
            timing_held: unsent.keys().all(|cause| *cause == cause::STOPPED)
                && lag_ns.overall.p99 <= lag_held,
            unsent,
            lag_ns,
            outcomes: measures.transitions.report(),
            generator: Generator::new(totals, duration_ns, stolen, wait),
            stopped,
            duration_s: duration_ns as f64 / 1e9,
            target,
            targets,
            server,
            warm,
            fills: is_lookaside.then_some(counts.fills),
            expiries,
            shared_keys,
            histograms: keeps_histograms.then(|| stored(measures)),
        }
    }
}

impl Generator {
    #[expect(
        clippy::cast_precision_loss,
        reason = "CPU times and counts are far below 2^53"
    )]
    fn new(totals: &Totals, duration_ns: u64, stolen: u64, wait: &'static str) -> Self {
        Self {
            cpu_ns_per_request: totals.cpu as f64 / totals.measures.counts.sent.max(1) as f64,
            cpu_share: totals.cpu as f64 / duration_ns.max(1) as f64,
            threads: totals.threads,
            wait,
            guard_ns: totals.guard,
            busiest_share: totals.busiest as f64 / duration_ns.max(1) as f64,
            preemptions: totals.preemptions,
            stolen_s: (stolen * TICK) as f64 / 1e9,
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
