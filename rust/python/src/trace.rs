//! Bindings of `trace`: system calls as text, as they come.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use membench_capture::give_up_privileges;
use membench_trace::{Clock, Format, Hooks, Options as Wanted, Outcomes, Tracer as Engine};

use super::capture::seconds;
use super::error::{Error, Result, raise};

#[pyclass(frozen, module = "membench._native")]
struct Tracer(Mutex<Engine>);

#[pymethods]
impl Tracer {
    #[new]
    fn new(py: Python<'_>, options: Options) -> PyResult<Self> {
        let drops = options.drop_privileges;
        let options = options.parse()?;
        let engine = py.detach(|| Engine::start(&options)).map_err(raise)?;
        if drops {
            give_up_privileges(engine.capabilities()).map_err(raise)?;
        }
        Ok(Self(Mutex::new(engine)))
    }

    /// Waits for calls, at most for a time; returns their lines, which may be none.
    fn next(&self, py: Python<'_>, timeout_s: f64) -> PyResult<String> {
        let patience = seconds(timeout_s)?;
        let text = py.detach(|| self.engine().next(patience));
        if text.is_empty() {
            py.check_signals()?;
        }
        Ok(text)
    }

    #[getter]
    fn is_ended(&self) -> bool {
        self.engine().is_ended()
    }

    #[getter]
    fn pids(&self) -> Vec<u32> {
        self.engine().pids().to_vec()
    }

    fn take_last(&self) -> String {
        self.engine().take_last()
    }

    fn timeline<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.engine().timeline())
    }

    fn stop(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.engine().stop()).map_err(raise)
    }

    fn tally(&self) -> PyResult<String> {
        super::json(&self.engine().tally())
    }

    fn totals(&self) -> PyResult<String> {
        super::json(&self.engine().totals())
    }
}

impl Tracer {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `membench._trace.Options`, by its attributes.
#[derive(FromPyObject)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an attribute of the Python object"
)]
struct Options {
    calls: String,
    pids: Vec<u32>,
    ports: Vec<u16>,
    slower_than_s: Option<f64>,
    outcome: String,
    totals: bool,
    descriptors: bool,
    clock: bool,
    utc_offset_s: i32,
    times: bool,
    json: bool,
    last_s: Option<f64>,
    show_keys: bool,
    timeline: bool,
    hooks: Option<String>,
    ring_size: u32,
    drop_privileges: bool,
}

impl Options {
    fn parse(self) -> Result<Wanted> {
        let slower_than: Option<Duration> = self.slower_than_s.map(seconds).transpose()?;
        Ok(Wanted {
            pids: self.pids,
            ports: self.ports,
            slower_than,
            outcome: outcome(&self.outcome)?,
            totals: self.totals,
            descriptors: self.descriptors,
            clock: if self.clock { Clock::Day } else { Clock::None },
            utc_offset_s: self.utc_offset_s,
            times: self.times,
            format: if self.json {
                Format::Json
            } else {
                Format::Strace
            },
            last: self.last_s.map(seconds).transpose()?,
            show_keys: self.show_keys,
            timeline: self.timeline,
            hooks: self.hooks.as_deref().map(hooks).transpose()?,
            ring_bytes: self.ring_size,
            ..Wanted::new(&self.calls)?
        })
    }
}

fn outcome(word: &str) -> Result<Outcomes> {
    match word {
        "any" => Ok(Outcomes::Any),
        "succeeded" => Ok(Outcomes::Succeeded),
        "failed" => Ok(Outcomes::Failed),
        _ => Err(Error::UnknownWord {
            option: "outcome",
            found: word.into(),
            wanted: "any, succeeded or failed",
        }),
    }
}

fn hooks(word: &str) -> Result<Hooks> {
    match word {
        "tracepoints" => Ok(Hooks::Tracepoints),
        "functions" => Ok(Hooks::Functions),
        _ => Err(Error::UnknownWord {
            option: "hooks",
            found: word.into(),
            wanted: "tracepoints or functions",
        }),
    }
}

#[pyfunction]
fn decoded_calls() -> Vec<(&'static str, &'static str, usize)> {
    membench_trace::decoded()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Tracer>()?;
    module.add_function(wrap_pyfunction!(decoded_calls, module)?)
}
