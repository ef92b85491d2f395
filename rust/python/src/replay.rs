//! The binding of replay: an open profile and a target → the report as JSON.

use pyo3::prelude::*;

use membench_replay::{Options, Pacing, Progress, run};

use crate::error::raise;
use crate::json;
use crate::profile::Profile;

/// Replays a profile and returns the report as JSON.
#[pyfunction]
#[pyo3(signature = (
    profile, target, *, pacing, warm, allow_nonempty, allow_admin, allow_sampled, seed, receive_stamps, threads, on_interval
))]
#[expect(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
    clippy::needless_pass_by_value,
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
    threads: usize,
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
        threads,
    };
    let profile = profile.get().engine();
    let mut raised = None;
    let report = py.detach(|| {
        let mut each_second = |progress: &Progress| {
            let goes_on = Python::attach(|py| tell(py, on_interval.as_ref(), progress));
            goes_on.unwrap_or_else(|error| {
                raised = Some(error);
                false
            })
        };
        run(profile, target, &options, &mut each_second)
    });
    if let Some(error) = raised {
        return Err(error);
    }
    json(&report.map_err(raise)?)
}

/// Hands progress to the callback. A signal, an exception of the callback or its answer `False` ends the run.
fn tell(py: Python<'_>, on_interval: Option<&Py<PyAny>>, progress: &Progress) -> PyResult<bool> {
    py.check_signals()?;
    let Some(callback) = on_interval else {
        return Ok(true);
    };
    let answer = callback.call1(py, (json(progress)?,))?;
    Ok(answer.is_none(py) || answer.is_truthy(py)?)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(replay, module)?)
}
