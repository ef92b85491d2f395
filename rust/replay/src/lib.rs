//! A profile's events → requests to a running memcached, at the recorded times → a report.
//!
//! ```text
//! Profile ─▶ plan ─▶ feeder ─blocks of operations─▶ shard ─▶ target ─▶ measures ─▶ report
//! ```

#[doc(hidden)]
pub mod bench;
mod clock;
mod error;
mod file;
mod late;
mod make;
mod measure;
mod mix;
mod observer;
mod operation;
mod plan;
mod run;
mod shard;
mod sys;
mod target;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use membench_event::Protocol;
use membench_profile::{Profile, require_all};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use make::keys::ShortKeys;
use make::template::Templates;
use measure::report::Circumstances;
use plan::expiry::ExpiryScale;
use plan::routes::Routes;
use plan::{Choices, Plan};
use run::{Run, RunResult};
use shard::processors;
use target::Target;
use target::group::TargetGroup;

pub use error::{Error, Result};
pub use late::Late;
pub use make::content::{Content, ValueBytes};
pub use measure::histogram::{Percentiles, StoredDurations, StoredPair, Summary};
pub use measure::merge::{MergedHistograms, StoredHistograms, merge};
pub use measure::outcomes::{OutcomeCounts, Outcomes};
pub use measure::progress::Progress;
pub use measure::report::{Generator, Report, Server};
pub use measure::{Causes, FillCounts};
pub use observer::Observer;
pub use plan::expiry::Expiries;
pub use plan::extent::Extent;
pub use plan::fills::Fill;
pub use plan::recording::{Events, Lifetime, Recording, in_memory};
pub use plan::routes::{RecordedServer, Servers, Targets};
pub use plan::schedule::Pacing;
pub use plan::share::Share;
pub use shard::Wait;
pub use target::Access;
pub use target::facts::{TargetFacts, TargetShare};
pub use target::sign_in::{Method, Secret, SignIn};
pub use target::tls::{Tls, TlsFault};
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
    /// Part of the recording, and how often it is replayed.
    pub extent: Extent,
    /// Rule for requests that cannot leave at their time.
    pub late: Late,
    /// Store the items that the recording proves present at its start before replaying.
    pub warm: bool,
    /// Accept a target that holds items or serves other clients.
    pub allow_nonempty: bool,
    /// Send `flush_all` and `verbosity` as well.
    pub allow_admin: bool,
    /// Accept a profile that is a sample, and so only a fraction of the recorded load.
    pub allow_sampled: bool,
    /// Content of keys and values.
    pub content: Content,
    /// Rule for stores that follow misses.
    pub fill: Fill,
    /// Way to wait for the next intended time.
    pub wait: Wait,
    /// Let the kernel stamp answers as they arrive, which splits service time into wire and client time.
    pub receive_stamps: bool,
    /// Give the histograms of each interval to the observer.
    pub log_histograms: bool,
    /// Number of sending threads, each with its share of the connections; 0 counts as 1.
    pub threads: usize,
    /// TLS and sign-in.
    pub access: Access,
    /// Share of this process, if several replay the recording together.
    pub share: Share,
    /// Start of the schedule, ns since 1970; `None` is as soon as everything is ready.
    pub start_at: Option<u64>,
    /// Put the histograms into the report, so that [`merge`] can add them to others.
    pub keep_histograms: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pacing: Pacing::Recorded,
            extent: Extent::default(),
            late: Late::default(),
            warm: false,
            allow_nonempty: false,
            allow_admin: false,
            allow_sampled: false,
            content: Content::default(),
            fill: Fill::default(),
            wait: Wait::default(),
            receive_stamps: true,
            log_histograms: false,
            threads: 1,
            access: Access::default(),
            share: Share::default(),
            start_at: None,
            keep_histograms: false,
        }
    }
}

/// Replays a profile against `targets` (`HOST:PORT` or `unix:PATH`) and blocks until the last answer, or until `observer`
/// ends the run. The report of a run that was ended covers it up to then.
///
/// # Errors
///
/// Fails in these cases:
///
/// * The profile is a sample, and `options` do not allow that.
/// * Several servers were recorded, and not each has a target.
/// * A target holds items, serves other clients or does not tell, and `options` do not allow that.
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
    targets: impl Into<Targets>,
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
    let mut of_connection = HashMap::new();
    for row in profile.connections()? {
        let row = row?;
        if used.remove(row.connection) {
            of_connection.insert(row.connection, row.server);
            lifetimes.push(Lifetime {
                connection: row.connection,
                opened: row.opened,
                closed: row.closed,
            });
        }
    }
    let recording = Recording {
        events: Box::new(|| Ok(Box::new(profile.events()?))),
        start: profile.manifest().header.anchor.monotonic_ns,
        options: profile.options(),
        lifetimes,
        servers: servers(profile, of_connection),
    };
    run_recording(&recording, targets, options, observer)
}

/// Names the servers of a profile's connections.
#[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^53")]
fn servers(profile: &Profile, of_connection: HashMap<u32, u32>) -> Servers {
    let manifest = profile.manifest();
    let known = manifest.ledger.servers.iter();
    let known: HashMap<u32, _> = known.map(|server| (server.server, server)).collect();
    let all: u64 = known.values().map(|server| server.request.seen).sum();
    let mut by_ordinal: BTreeMap<u32, RecordedServer> = of_connection
        .values()
        .map(|ordinal| {
            let server = known.get(ordinal);
            let name = server.map(|server| match (&server.path, server.address) {
                (Some(path), _) => path.clone(),
                (None, Some(address)) => SocketAddr::new(address, server.port).to_string(),
                (None, None) => server.port.to_string(),
            });
            let named = RecordedServer {
                name: name.unwrap_or_else(|| format!("#{ordinal}")),
                share: server
                    .filter(|_| all > 0)
                    .map(|server| server.request.seen as f64 / all as f64),
            };
            (*ordinal, named)
        })
        .collect();
    let mut names: HashMap<String, u32> = HashMap::new();
    for server in by_ordinal.values() {
        *names.entry(server.name.clone()).or_default() += 1;
    }
    // Servers of several network namespaces can have the same port.
    for (ordinal, server) in &mut by_ordinal {
        if names.get(&server.name).is_some_and(|count| *count > 1) {
            server.name = format!("{}#{ordinal}", server.name);
        }
    }
    Servers {
        by_ordinal,
        of_connection,
    }
}

/// Replays a recording that need not be a profile, otherwise like [`run()`].
pub fn run_recording(
    recording: &Recording<'_>,
    targets: impl Into<Targets>,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Report> {
    if !options.share.is_whole() && !options.allow_nonempty {
        return Err(Error::SharedTarget);
    }
    must_come(options.start_at)?;
    options.content.check()?;
    let routes = Routes::new(&recording.servers, &targets.into())?;
    let mut targets = TargetGroup::connect(&routes, &options.access, options.allow_nonempty)?;
    let recording = &recording.part(options.extent);
    let choices = Choices {
        allow_admin: options.allow_admin,
        warm: options.warm,
        extent: options.extent,
        expiry: ExpiryScale::new(options.pacing.speed()),
        share: options.share,
        fill: options.fill,
    };
    let templates = Arc::new(Templates::new(&recording.options));
    let plan = Plan::new((recording.events)()?, templates, routes, choices, observer)?;
    if !plan.connections.is_empty() && plan.connection_count() == 0 {
        return Err(Error::EmptyShare {
            index: options.share.index,
            of: options.share.of,
            connections: plan.connections.len() as u64,
        });
    }
    if plan.requests == 0 {
        return Err(Error::Nothing {
            events: plan.events,
        });
    }
    targets
        .iter()
        .try_for_each(|target| must_speak(target, &plan))?;
    allow_connections(plan.connection_count())?;
    let mut keys = ShortKeys::default();
    let warm = if options.warm {
        Some(targets.warm(&plan, &mut keys, &options.content, observer)?)
    } else {
        None
    };
    let before = targets.snapshot()?;
    let stolen = processors::stolen_ticks();
    let run = Run {
        recording,
        plan: &plan,
        endpoints: targets.endpoints(&plan),
        pacing: options.pacing,
        late: options.late,
        threads: options.threads.max(1),
        content: &options.content,
        wait: options.wait,
        receive_stamps: options.receive_stamps,
        logs_histograms: options.log_histograms,
        start_at: options.start_at,
    };
    let RunResult {
        totals,
        shared_keys,
        start,
        stopped,
    } = run.execute(keys, observer)?;
    let counts = &totals.measures.counts;
    let is_short = stopped || !counts.unanswered.is_empty();
    // What other processes write is in the targets' counters, too.
    let growth = if options.share.is_whole() {
        targets.growth(&before, counts.bytes_written, is_short)
    } else {
        Ok(None)
    };
    let circumstances = Circumstances {
        planned: plan.requests,
        planned_ns: plan.length(options.pacing),
        skipped: plan.skipped.clone(),
        stopped,
        start,
        target: targets.facts(),
        targets: targets.shares(&plan),
        // If a target is gone by now, the counts of unanswered requests say so.
        server: growth
            .ok()
            .flatten()
            .map(|growth| Server::new(growth.counters, growth.bytes_read, counts, &plan)),
        warm,
        late: options.late,
        expiries: choices.expiry.is_used().then_some(plan.expiries),
        shared_keys,
        wait: options.wait.name(),
        is_lookaside: options.fill == Fill::Lookaside,
        stolen: processors::stolen_ticks().saturating_sub(stolen),
        keeps_histograms: options.keep_histograms,
    };
    Ok(Report::new(&totals, circumstances))
}

/// Fails if a start, ns since 1970, has passed.
pub(crate) fn must_come(start_at: Option<u64>) -> Result<()> {
    let now = clock::utc();
    match start_at {
        Some(start) if start <= now => Err(Error::StartPassed {
            by: std::time::Duration::from_nanos(now - start),
        }),
        _ => Ok(()),
    }
}

/// Fails if the target does not take the protocol of some request.
fn must_speak(target: &Target, plan: &Plan) -> Result<()> {
    let binary = plan.binary_requests;
    let (wanted, others) = match target.only_protocol() {
        None => return Ok(()),
        Some(Protocol::Binary) => ("binary", plan.requests - binary),
        Some(_) => ("text", binary),
    };
    if others == 0 {
        return Ok(());
    }
    Err(Error::TargetSpeaks {
        target: target.name().to_owned(),
        wanted,
        others,
    })
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
