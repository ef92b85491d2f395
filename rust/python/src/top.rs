//! Bindings of `top`: a recording that is only counted, one interval after the other.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use membench_analysis::top::Top as Counter;
use membench_capture::{Limits, RecordOptions, Recorder as Engine};
use membench_decode::privacy::Names;
use membench_event::Sample;

use super::capture::{Selected, parse_responses, seconds};
use super::error::raise;

#[pyclass(frozen, module = "membench._native")]
struct Top {
    engine: Engine,
    counter: Mutex<Counter>,
    names: Option<Names>,
}

#[pymethods]
impl Top {
    #[new]
    #[pyo3(signature = (source, *, file, interface, hooked, selection, responses, ring_size, statistics, drop_privileges, keys, key_file,
        remember))]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a keyword of the Python signature"
    )]
    fn new(
        py: Python<'_>,
        source: String,
        file: Option<PathBuf>,
        interface: Option<String>,
        hooked: Option<String>,
        selection: Selected,
        responses: &str,
        ring_size: u32,
        statistics: bool,
        drop_privileges: bool,
        keys: usize,
        key_file: Option<PathBuf>,
        remember: bool,
    ) -> PyResult<Self> {
        let names = remember.then(Names::default);
        let options = RecordOptions {
            source,
            file,
            interface,
            hooked,
            fallback: true,
            output: None,
            force: false,
            selection: selection.parse()?,
            responses: parse_responses(responses)?,
            ring_bytes: ring_size,
            duration: None,
            key_file,
            statistics,
            drop_privileges,
            live: true,
            hooks: None,
            attachment: None,
            rotate: None,
            max_size: None,
            sample: Sample::default(),
            nice: None,
            limits: Limits::default(),
            names: names.clone(),
        };
        Ok(Self {
            engine: py.detach(|| Engine::start(options)).map_err(raise)?,
            counter: Mutex::new(Counter::new(keys)),
            names,
        })
    }

    /// Counts what comes within the time; false once the recording has ended and all is counted.
    fn count(&self, py: Python<'_>, timeout_s: f64) -> PyResult<bool> {
        let patience = seconds(timeout_s)?;
        let more = py.detach(|| self.count_until(Instant::now() + patience));
        py.check_signals()?;
        Ok(more)
    }

    fn take(&self, py: Python<'_>, most: usize) -> PyResult<String> {
        super::json(&py.detach(|| self.counter().take(most)))
    }

    fn status(&self) -> PyResult<String> {
        super::json(&self.engine.status())
    }

    fn name<'py>(&self, py: Python<'py>, key_id: u64) -> Option<Bound<'py, PyBytes>> {
        let key = self.names.as_ref()?.get(key_id)?;
        Some(PyBytes::new(py, &key))
    }

    fn stop(&self, py: Python<'_>) {
        self.engine.stop("stop");
        // What it came to is of no interest: nothing was written.
        py.detach(|| drop(self.engine.finish()));
    }
}

impl Top {
    fn counter(&self) -> std::sync::MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_until(&self, end: Instant) -> bool {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.engine.next_batch(left) {
                Some(batch) => {
                    let mut counter = self.counter();
                    for (connection, client) in &batch.met {
                        counter.connect(*connection, *client);
                    }
                    counter.feed(&batch.events);
                }
                None if self.engine.done() => return false,
                None => return true,
            }
            if left.is_zero() {
                return true;
            }
        }
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Top>()
}
