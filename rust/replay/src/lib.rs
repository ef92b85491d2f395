//! A profile's events → a running memcached, with the recorded timing → what it took.
//!
//! ```text
//! Profile ─▶ plan ─▶ feeder ─blocks of operations─▶ shard ─▶ target ─▶ measures ─▶ report
//! ```

pub mod clock;
mod error;
pub mod make;
pub mod measure;
pub mod operation;
pub mod plan;
mod run;
pub mod shard;
mod sys;
mod target;

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use membench_profile::{Profile, require_all};

use make::keys::ShortKeys;
use measure::report::{Circumstances, Server, TargetFacts, Totals};
use plan::Plan;
use plan::recording::{Lifetime, Recording};
use plan::template::Templates;
use run::{Ran, Run};
use target::warm::Warm;
use target::{Statistics, Target, growth};

pub use error::{Error, Result};
pub use measure::progress::Progress;
pub use measure::report::{Generator, Report};
pub use plan::schedule::Pacing;

/// Open files besides the connections: the profile, the control connection, epoll, Python's own.
const OTHER_FILES: u64 = 64;

/// How to replay.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent choices, each asked by name"
)]
pub struct Options {
    /// The rule for intended times.
    pub pacing: Pacing,
    /// Store first what the recording proves present at its start.
    pub warm: bool,
    /// Replay against a target that holds items or serves others.
    pub allow_nonempty: bool,
    /// Replay `flush_all` and `verbosity`, too.
    pub allow_admin: bool,
    /// Replay a sample, which is not the recorded load.
    pub allow_sampled: bool,
    /// What values are made from.
    pub seed: u64,
    /// Let the kernel stamp what arrives.
    pub receive_stamps: bool,
    /// Threads that send, each with its share of the connections.
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
            threads: 1,
        }
    }
}

/// Replays a profile against `target` (`HOST:PORT`). `on_interval` is called once a second; the run ends when it
/// returns false.
pub fn run(
    profile: &Profile,
    target: &str,
    options: &Options,
    on_interval: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Report> {
    if !options.allow_sampled {
        require_all(
            profile.manifest().header.sample,
            profile.path(),
            "replaying it is a fraction of the recorded load, with holes in its schedule",
        )?;
    }
    let lifetimes = profile.connections()?.into_iter().map(|row| Lifetime {
        connection: row.connection,
        opened: row.opened,
        closed: row.closed,
    });
    let recording = Recording {
        events: Box::new(|| Ok(Box::new(profile.events()?))),
        options: profile.options(),
        lifetimes: lifetimes.collect(),
    };
    run_recording(&recording, target, options, on_interval)
}

/// As [`run`], for events from anywhere.
pub fn run_recording(
    recording: &Recording<'_>,
    target: &str,
    options: &Options,
    on_interval: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Report> {
    let mut target = Target::connect(target)?;
    let found = target.statistics()?;
    if !options.allow_nonempty {
        target.refuse_if_busy(&found)?;
    }
    let templates = Arc::new(Templates::new(&recording.options));
    let plan = Plan::new(
        (recording.events)()?,
        &templates,
        options.allow_admin,
        options.warm,
    )?;
    if plan.requests == 0 {
        return Err(Error::Nothing {
            events: plan.events,
        }
        .into());
    }
    allow_connections(plan.connections.len() as u64)?;
    let mut keys = ShortKeys::default();
    let warm = warm(&target, &plan, &mut keys, &templates, options)?;
    let before = target.statistics()?;
    let run = Run {
        recording,
        plan: &plan,
        templates: &templates,
        target: target.address(),
        pacing: options.pacing,
        threads: options.threads.max(1),
        seed: options.seed,
        receive_stamps: options.receive_stamps,
        allow_admin: options.allow_admin,
    };
    let Ran {
        totals,
        start,
        stopped,
    } = run.execute(keys, on_interval)?;
    let circumstances = Circumstances {
        planned: plan.requests,
        skipped: plan.skipped.clone(),
        stopped,
        start,
        target: facts(&target, &found),
        // A target that is gone by now shows in the counts.
        server: compare(&mut target, &before, &totals, &plan).ok(),
        warm,
    };
    Ok(Report::new(&totals, circumstances))
}

fn warm(
    target: &Target,
    plan: &Plan,
    keys: &mut ShortKeys,
    templates: &Arc<Templates>,
    options: &Options,
) -> Result<Option<Warm>> {
    if !options.warm {
        return Ok(None);
    }
    let stored = target::warm::store(target.address(), plan, keys, templates, options.seed);
    stored
        .map(Some)
        .map_err(|source| target.unreachable(source))
}

fn facts(target: &Target, statistics: &Statistics) -> TargetFacts {
    TargetFacts {
        name: target.name().to_owned(),
        version: statistics.get("version").cloned(),
        threads: statistics.get("threads").cloned(),
    }
}

fn compare(
    target: &mut Target,
    before: &Statistics,
    totals: &Totals,
    plan: &Plan,
) -> Result<Server> {
    let counts = &totals.measures.counts;
    let (after, read) = target.settled(before, counts.bytes_written)?;
    Ok(Server::new(growth(before, &after), read, counts, plan))
}

/// Makes room for the connections among open files.
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
