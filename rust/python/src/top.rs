//! Bindings of `top`: a recording that is only counted, one interval after the other.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use membench_analysis::top::{Intervals, Top as Counter};
use membench_capture::{RecordOptions, Recorder as Engine, SourceSpec};
use membench_decode::{Addresses, privacy::Names};

use super::capture::{Options, seconds};
use super::error::raise;

#[pyclass(frozen, module = "membench._native")]
struct Top {
    engine: Engine,
    counter: Mutex<Counter>,
    names: Option<Names>,
    addresses: Option<Addresses>,
    /// For a stored source, whose own times count: how far it was counted.
    stored: Option<Mutex<Intervals>>,
}

#[pymethods]
impl Top {
    #[new]
    #[pyo3(signature = (sources, options, *, keys, remember, addresses))]
    fn new(
        py: Python<'_>,
        sources: Vec<String>,
        options: Options,
        keys: usize,
        remember: bool,
        addresses: bool,
    ) -> PyResult<Self> {
        let names = remember.then(Names::default);
        let addresses = addresses.then(Addresses::default);
        let options = RecordOptions {
            names: names.clone(),
            addresses: addresses.clone(),
            ..options.parse(sources)?
        };
        // Only memcached itself knows how many lines of its log it dropped.
        let options = RecordOptions {
            statistics: options.source.is_log(),
            patient: true,
            ..options
        };
        let is_stored = matches!(options.source, SourceSpec::Files(_) | SourceSpec::Log(_));
        Ok(Self {
            engine: py.detach(|| Engine::start(options)).map_err(raise)?,
            counter: Mutex::new(Counter::new(keys)),
            names,
            addresses,
            stored: is_stored.then(Mutex::default),
        })
    }

    /// True for a stored source, whose own times count.
    #[getter]
    fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// Counts the events of the next interval of a stored source, for at most this time. Returns true once the interval
    /// is over, false once the source has ended and all are counted, and nothing if it takes longer.
    fn count_stored(
        &self,
        py: Python<'_>,
        interval_s: f64,
        timeout_s: f64,
    ) -> PyResult<Option<bool>> {
        let (interval, patience) = (seconds(interval_s)?, seconds(timeout_s)?);
        let done = py.detach(|| self.count_interval(interval, Instant::now() + patience));
        py.check_signals()?;
        Ok(done)
    }

    /// Returns the time of a stored source that was counted so far, s.
    fn covered_s(&self) -> f64 {
        self.stored.as_ref().map_or(0.0, |stored| {
            let stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
            stored.covered().as_secs_f64()
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

    fn address(&self, client: u32) -> Option<String> {
        let address = self.addresses.as_ref()?.get(client)?;
        Some(address.to_string())
    }

    fn stop(&self, py: Python<'_>) {
        self.engine.stop("stop");
        // Nothing was written: the result is of no interest.
        py.detach(|| drop(self.engine.finish()));
        self.forget();
    }
}

impl Top {
    fn forget(&self) {
        if let Some(names) = &self.names {
            names.forget();
        }
        if let Some(addresses) = &self.addresses {
            addresses.forget();
        }
    }

    fn counter(&self) -> std::sync::MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_interval(&self, interval: Duration, until: Instant) -> Option<bool> {
        let mut stored = self
            .stored
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if stored.count(&mut self.counter(), interval) {
                return Some(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.engine.next_batch(left) {
                Some(batch) => {
                    let mut counter = self.counter();
                    for (connection, client) in &batch.connections {
                        counter.connect(*connection, *client);
                    }
                    stored.take(batch.events);
                }
                None if self.engine.done() => return Some(false),
                None => return None,
            }
        }
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
