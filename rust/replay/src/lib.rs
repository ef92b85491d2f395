//! A profile's events → requests to a running memcached, at the recorded times → a report.
//!
//! ```text
//! Profile ─▶ plan ─▶ feeder ─blocks of operations─▶ shard ─▶ target ─▶ measures ─▶ report
//! ```

#[doc(hidden)]
pub mod bench;
mod clock;
mod error;
mod make;
mod measure;
mod observer;
mod operation;
mod plan;
mod run;
mod shard;
mod sys;
mod target;

use std::sync::Arc;

use membench_profile::{Profile, require_all};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use make::keys::ShortKeys;
use make::template::Templates;
use measure::report::Circumstances;
use measure::totals::Totals;
use plan::Plan;
use run::{Run, RunResult};
use target::{Statistics, Target, growth};

pub use error::{Error, Result};
pub use measure::Causes;
pub use measure::histogram::{Percentiles, Summary};
pub use measure::outcomes::{OutcomeCounts, Outcomes};
pub use measure::progress::Progress;
pub use measure::report::{Generator, Report, Server, TargetFacts};
pub use observer::Observer;
pub use plan::recording::{Events, Lifetime, Recording, in_memory};
pub use plan::schedule::Pacing;
pub use target::warm::Warm;

/// Allowance for open files other than connections: the profile, the control connection, epoll, those of Python.
const OTHER_FILES: u64 = 64;

/// Options of a replay.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent choices, each asked by name"
)]
pub struct Options {
    /// Rule for intended times.
    pub pacing: Pacing,
    /// Store the items that the recording proves present at its start before replaying.
    pub warm: bool,
    /// Accept a target that holds items or serves other clients.
    pub allow_nonempty: bool,
    /// Send `flush_all` and `verbosity` as well.
    pub allow_admin: bool,
    /// Accept a profile that is a sample, and so only a fraction of the recorded load.
    pub allow_sampled: bool,
    /// Seed of the values: equal seeds give equal values.
    pub seed: u64,
    /// Let the kernel stamp answers as they arrive, which splits service time into wire and client time.
    pub receive_stamps: bool,
    /// Give the histograms of each interval to the observer.
    pub log_histograms: bool,
    /// Number of sending threads, each with its share of the connections; 0 counts as 1.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pacing: Pacing::Recorded,
            warm: false,
            allow_nonempty: false,
            allow_admin: false,
            allow_sampled: false,
            seed: 1,
            receive_stamps: true,
            log_histograms: false,
            threads: 1,
        }
    }
}

/// Replays a profile against `target` (`HOST:PORT` or `unix:PATH`) and blocks until the last answer, or until `observer`
/// ends the run. The report of a run that was ended covers it up to then.
///
/// # Errors
///
/// Fails in these cases:
///
/// * The profile is a sample, and `options` do not allow that.
/// * The target holds items or serves other clients, and `options` do not allow that.
/// * No request of the profile can be sent.
/// * The target cannot be reached, or does not answer like memcached.
/// * This process may not open as many files as there are connections.
/// * `observer` ends the run before the first request.
///
/// A target that goes away during the run is no error: the report counts the requests it left unanswered.
///
/// # Examples
///
/// Replays a profile at twice the recorded speed, until a request fails:
///
/// ```no_run
/// use membench_profile::Profile;
/// use membench_replay::{Options, Pacing, Progress, run};
///
/// # fn main() -> membench_replay::Result<()> {
/// let profile = Profile::open("production.mb")?;
/// let options = Options {
///     pacing: Pacing::Speed(2.0),
///     warm: true,
///     ..Options::default()
/// };
/// let report = run(&profile, "127.0.0.1:11211", &options, &mut |progress: &Progress| {
///     progress.errors == 0
/// })?;
/// if report.timing_held {
///     println!("99 % of responses within {} ns", report.response_ns.overall.p99);
/// }
/// # Ok(())
/// # }
/// ```
pub fn run(
    profile: &Profile,
    target: &str,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Report> {
    if !options.allow_sampled {
        require_all(
            profile.manifest().header.sample,
            profile.path(),
            "replaying it is a fraction of the recorded load, with holes in its schedule",
        )?;
    }
    let mut used = profile.used_connections()?;
    let mut lifetimes = Vec::new();
    for row in profile.connections()? {
        let row = row?;
        if used.remove(row.connection) {
            lifetimes.push(Lifetime {
                connection: row.connection,
                opened: row.opened,
                closed: row.closed,
            });
        }
    }
    let recording = Recording {
        events: Box::new(|| Ok(Box::new(profile.events()?))),
        options: profile.options(),
        lifetimes,
    };
    run_recording(&recording, target, options, observer)
}

/// Replays a recording that need not be a profile, otherwise like [`run()`].
pub fn run_recording(
    recording: &Recording<'_>,
    target: &str,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Report> {
    let mut target = Target::connect(target)?;
    let found = target.statistics()?;
    if !options.allow_nonempty {
        target.refuse_if_busy(&found)?;
    }
    let templates = Arc::new(Templates::new(&recording.options));
    let plan = Plan::new(
        (recording.events)()?,
        templates,
        options.allow_admin,
        options.warm,
        observer,
    )?;
    if plan.requests == 0 {
        return Err(Error::Nothing {
            events: plan.events,
        });
    }
    allow_connections(plan.connections.len() as u64)?;
    let mut keys = ShortKeys::default();
    let warm = store_warm(&target, &plan, &mut keys, options, observer)?;
    let before = target.statistics()?;
    let run = Run {
        recording,
        plan: &plan,
        target: target.address().clone(),
        pacing: options.pacing,
        threads: options.threads.max(1),
        seed: options.seed,
        receive_stamps: options.receive_stamps,
        logs_histograms: options.log_histograms,
    };
    let RunResult {
        totals,
        start,
        stopped,
    } = run.execute(keys, observer)?;
    let circumstances = Circumstances {
        planned: plan.requests,
        planned_ns: plan.length(options.pacing),
        skipped: plan.skipped.clone(),
        stopped,
        start,
        target: facts(&target, &found),
        // If the target is gone by now, the counts of unanswered requests say so.
        server: compare(&mut target, &before, &totals, &plan, stopped).ok(),
        warm,
    };
    Ok(Report::new(&totals, circumstances))
}

/// Stores the items that must be present at the start, if `options` ask for it.
fn store_warm(
    target: &Target,
    plan: &Plan,
    keys: &mut ShortKeys,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Option<Warm>> {
    if !options.warm {
        return Ok(None);
    }
    target::warm::store(target, plan, keys, options.seed, observer).map(Some)
}

fn facts(target: &Target, statistics: &Statistics) -> TargetFacts {
    TargetFacts {
        name: target.name().to_owned(),
        version: statistics.get("version").cloned(),
        threads: statistics.get("threads").cloned(),
    }
}

/// Compares the target's statistics with those of before the run.
fn compare(
    target: &mut Target,
    before: &Statistics,
    totals: &Totals,
    plan: &Plan,
    stopped: bool,
) -> Result<Server> {
    let counts = &totals.measures.counts;
    if stopped || !counts.unanswered.is_empty() {
        target.expect_little();
    }
    let (after, read) = target.settled(before, counts.bytes_written)?;
    Ok(Server::new(growth(before, &after), read, counts, plan))
}

/// Raises the limit on open files if the connections need it.
fn allow_connections(wanted: u64) -> Result<()> {
    let files = wanted + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(files),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|_| Error::TooManyConnections {
        wanted,
        limit: maximum.unwrap_or(u64::MAX),
    })?;
    Ok(())
}
