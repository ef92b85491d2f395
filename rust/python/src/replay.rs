//! The binding of replay: an open profile and a target → the report as JSON.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use membench_replay::{
    Access, Content, Extent, Fill, Late, Method, Observer, Options, Pacing, Progress, Secret,
    Share, SignIn, StoredHistograms, Targets, Tls, ValueBytes, Wait, merge, run,
};

use crate::error::raise;
use crate::json;
use crate::profile::Profile;

/// Options, as Python checked them.
#[derive(FromPyObject)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an attribute of the Python object"
)]
struct ReplayOptions {
    pacing: String,
    late: String,
    from_s: f64,
    until_s: Option<f64>,
    #[pyo3(attribute("loop"))]
    rounds: u32,
    fresh_keys: bool,
    #[pyo3(attribute("scale"))]
    copies: u32,
    shared_keys: bool,
    warm: bool,
    allow_nonempty: bool,
    allow_admin: bool,
    allow_sampled: bool,
    seed: u64,
    receive_stamps: bool,
    log_histograms: bool,
    threads: usize,
    tls: bool,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_name: Option<String>,
    auth: Option<String>,
    auth_file: Option<PathBuf>,
    auth_env: Option<String>,
    server: Option<String>,
    shard: (u32, u32),
    start_at_ns: Option<u64>,
    keep_histograms: bool,
    key_prefix: String,
    value: String,
    wait: String,
    fill: String,
}

/// Target, or the targets by the names of their servers.
#[derive(FromPyObject)]
enum Destination {
    One(String),
    OfServers(Vec<(String, String)>),
}

impl Destination {
    fn with_server(self, server: Option<String>) -> Targets {
        match self {
            Self::One(target) => Targets::One { target, server },
            Self::OfServers(each) => Targets::OfServers(each),
        }
    }
}

impl ReplayOptions {
    fn parse(self) -> membench_replay::Result<Options> {
        Ok(Options {
            pacing: Pacing::parse(&self.pacing)?,
            extent: Extent {
                from: nanoseconds(self.from_s),
                until: self.until_s.map(nanoseconds),
                rounds: self.rounds,
                fresh_keys: self.fresh_keys,
                copies: self.copies,
                shared_keys: self.shared_keys,
            },
            late: Late::parse(&self.late)?,
            warm: self.warm,
            allow_nonempty: self.allow_nonempty,
            allow_admin: self.allow_admin,
            allow_sampled: self.allow_sampled,
            content: Content {
                seed: self.seed,
                values: ValueBytes::parse(&self.value)?,
                key_prefix: self.key_prefix,
            },
            fill: Fill::parse(&self.fill).unwrap_or_default(),
            wait: Wait::parse(&self.wait).unwrap_or_default(),
            receive_stamps: self.receive_stamps,
            log_histograms: self.log_histograms,
            threads: self.threads,
            share: Share {
                index: self.shard.0,
                of: self.shard.1,
            },
            start_at: self.start_at_ns,
            keep_histograms: self.keep_histograms,
            access: Access {
                sign_in: self.auth.as_deref().and_then(|auth| {
                    let file = self.auth_file.clone().map(Secret::File);
                    Some(SignIn {
                        method: Method::parse(auth)?,
                        secret: file.or_else(|| self.auth_env.clone().map(Secret::Environment))?,
                    })
                }),
                tls: self.tls.then_some(Tls {
                    ca: self.tls_ca,
                    certificate: self.tls_cert,
                    key: self.tls_key,
                    name: self.tls_name,
                }),
            },
        })
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Replays a profile and returns the report as JSON.
#[pyfunction]
fn replay(
    py: Python<'_>,
    profile: &Bound<'_, Profile>,
    targets: Destination,
    options: ReplayOptions,
    stop: Option<Py<PyAny>>,
    on_interval: Option<Py<PyAny>>,
) -> PyResult<String> {
    let targets = targets.with_server(options.server.clone());
    let options = options.parse().map_err(raise)?;
    let profile = profile.get().engine();
    let mut caller = Caller {
        on_interval,
        stop,
        raised: None,
    };
    let report = py.detach(|| run(profile, targets, &options, &mut caller));
    if let Some(error) = caller.raised {
        return Err(error);
    }
    json(&report.map_err(raise)?)
}

/// Adds the histograms of runs, given and returned as JSON.
#[pyfunction]
fn merge_histograms(runs: &str) -> PyResult<String> {
    let refused = || PyValueError::new_err("no histograms");
    let runs: Vec<StoredHistograms> = serde_json::from_str(runs).map_err(|_| refused())?;
    json(&merge(&runs).ok_or_else(refused)?)
}

/// Python's side of a running replay.
struct Caller {
    /// Function that takes the progress and may answer `False`.
    on_interval: Option<Py<PyAny>>,
    /// `threading.Event` that ends the run.
    stop: Option<Py<PyAny>>,
    /// Signal or exception that ended the run.
    raised: Option<PyErr>,
}

impl Caller {
    /// Asks Python if the run goes on; an exception ends it.
    fn ask(&mut self, ask: impl FnOnce(Python<'_>, &Self) -> PyResult<bool>) -> bool {
        let goes_on = Python::attach(|py| ask(py, self));
        goes_on.unwrap_or_else(|error| {
            self.raised = Some(error);
            false
        })
    }
}

impl Observer for Caller {
    fn interval(&mut self, progress: &Progress) -> bool {
        self.ask(|py, caller| {
            let (Some(callback), None) = (&caller.on_interval, &caller.raised) else {
                return Ok(true);
            };
            let answer = callback.call1(py, (json(progress)?,))?;
            Ok(answer.is_none(py) || answer.is_truthy(py)?)
        })
    }

    fn goes_on(&mut self) -> bool {
        self.ask(|py, caller| {
            py.check_signals()?;
            let Some(stop) = &caller.stop else {
                return Ok(true);
            };
            Ok(!stop.call_method0(py, "is_set")?.is_truthy(py)?)
        })
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(replay, module)?)?;
    module.add_function(wrap_pyfunction!(merge_histograms, module)?)
}
