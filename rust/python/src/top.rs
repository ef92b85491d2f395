//! Bindings of `top`: a recording that is only counted, one interval after the other.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use membench_analysis::top::Top as Counter;
use membench_capture::{RecordOptions, Recorder as Engine, SourceSpec};
use membench_decode::privacy::Names;
use membench_event::Event;

use super::capture::{Options, seconds};
use super::error::raise;

#[pyclass(frozen, module = "membench._native")]
struct Top {
    engine: Engine,
    counter: Mutex<Counter>,
    names: Option<Names>,
    /// For a stored source, whose own times count: how far it was counted.
    stored: Option<Mutex<Stored>>,
}

/// How far a stored source was counted.
#[derive(Default)]
struct Stored {
    /// Events that were not counted yet.
    waiting: VecDeque<Event>,
    /// Time of the first event, and the end of the current interval, ns.
    first: Option<u64>,
    end: u64,
    /// Time of the latest event that was counted, ns.
    latest: u64,
}

#[pymethods]
impl Top {
    #[new]
    #[pyo3(signature = (sources, options, *, keys, remember))]
    fn new(
        py: Python<'_>,
        sources: Vec<String>,
        options: Options,
        keys: usize,
        remember: bool,
    ) -> PyResult<Self> {
        let names = remember.then(Names::default);
        let options = RecordOptions {
            names: names.clone(),
            ..options.parse(&sources)?
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
            let first = stored.first.unwrap_or(stored.latest);
            Duration::from_nanos(stored.latest.saturating_sub(first)).as_secs_f64()
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
                    stored.waiting.extend(batch.events);
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

impl Stored {
    /// Counts the events of the current interval. Returns true if one of a later interval waits, and begins that one.
    fn count(&mut self, counter: &mut Counter, interval: Duration) -> bool {
        let interval = u64::try_from(interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        if let (None, Some(event)) = (self.first, self.waiting.front()) {
            self.first = Some(event.time);
            self.end = event.time.saturating_add(interval);
        }
        let within = self
            .waiting
            .iter()
            .position(|event| event.time >= self.end)
            .unwrap_or(self.waiting.len());
        let rest = self.waiting.split_off(within);
        let events = std::mem::replace(&mut self.waiting, rest);
        let latest = events.iter().map(|event| event.time).max();
        self.latest = self.latest.max(latest.unwrap_or(0));
        counter.feed(&Vec::from(events));
        let Some(next) = self.waiting.front() else {
            return false;
        };
        let passed = (next.time - self.end) / interval + 1;
        self.end = self.end.saturating_add(passed.saturating_mul(interval));
        true
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Top>()
}

#[cfg(test)]
mod tests {
    use membench_event::Command;

    use super::*;

    #[test]
    fn a_stored_source_is_counted_by_its_own_times() {
        let mut stored = Stored::default();
        let mut counter = Counter::new(16);
        let s = 1_000_000_000;
        let events = [10, 10, 11, 12, 40, 41].map(|time| Event {
            time: time * s,
            ..Event::new(Command::Get)
        });
        stored.waiting.extend(events);
        let mut counted = Vec::new();
        let mut more = true;
        while more {
            more = stored.count(&mut counter, Duration::from_secs(2));
            counted.push(counter.take(0).events);
        }
        assert_eq!(counted, [3, 1, 2]);
        assert_eq!((stored.first, stored.latest), (Some(10 * s), 41 * s));
    }
}
