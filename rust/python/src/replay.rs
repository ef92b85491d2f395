//! The binding of replay: an open profile and a target → the report as JSON.

use pyo3::prelude::*;

use membench_replay::{Observer, Options, Pacing, Progress, run};

use crate::error::raise;
use crate::json;
use crate::profile::Profile;

/// Replays a profile and returns the report as JSON.
#[pyfunction]
#[pyo3(signature = (
    profile, target, *, pacing, warm, allow_nonempty, allow_admin, allow_sampled, seed, receive_stamps, log_histograms, threads, stop, on_interval
))]
#[expect(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
    reason = "keyword arguments, as in Python and by value as PyO3 wants"
)]
fn replay(
    py: Python<'_>,
    profile: &Bound<'_, Profile>,
    target: &str,
    pacing: &str,
    warm: bool,
    allow_nonempty: bool,
    allow_admin: bool,
    allow_sampled: bool,
    seed: u64,
    receive_stamps: bool,
    log_histograms: bool,
    threads: usize,
    stop: Option<Py<PyAny>>,
    on_interval: Option<Py<PyAny>>,
) -> PyResult<String> {
    let options = Options {
        pacing: Pacing::parse(pacing).map_err(raise)?,
        warm,
        allow_nonempty,
        allow_admin,
        allow_sampled,
        seed,
        receive_stamps,
        log_histograms,
        threads,
    };
    let profile = profile.get().engine();
    let mut caller = Caller {
        on_interval,
        stop,
        raised: None,
    };
    let report = py.detach(|| run(profile, target, &options, &mut caller));
    if let Some(error) = caller.raised {
        return Err(error);
    }
    json(&report.map_err(raise)?)
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
    module.add_function(wrap_pyfunction!(replay, module)?)
}
