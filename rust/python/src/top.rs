//! Bindings of `top`: a recording that is only counted, one interval after the other.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use membench_analysis::top::Top as Counter;
use membench_capture::{RecordOptions, Recorder as Engine};
use membench_decode::privacy::Names;

use super::capture::{Options, seconds};
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
    #[pyo3(signature = (source, options, *, keys, remember))]
    fn new(
        py: Python<'_>,
        source: &str,
        options: Options,
        keys: usize,
        remember: bool,
    ) -> PyResult<Self> {
        let names = remember.then(Names::default);
        let options = RecordOptions {
            names: names.clone(),
            ..options.parse(source)?
        };
        // Only memcached itself knows how many lines of its log it dropped.
        let options = RecordOptions {
            statistics: options.source.is_log(),
            ..options
        };
        Ok(Self {
            engine: py.detach(|| Engine::start(options)).map_err(raise)?,
            counter: Mutex::new(Counter::new(keys)),
            names,
        })
    }

    /// Counts the events that come within the time; false once the recording has ended and all are counted.
    fn count(&self, py: Python<'_>, timeout_s: f64) -> PyResult<bool> {
        let patience = seconds(timeout_s)?;
        let more = py.detach(|| self.count_until(Instant::now() + patience));
        py.check_signals()?;
        Ok(more)
    }

    fn take(&self, py: Python<'_>, limit: usize) -> PyResult<String> {
        super::json(&py.detach(|| self.counter().take(limit)))
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
        // Nothing was written: the result is of no interest.
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
                    for (connection, client) in &batch.connections {
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
