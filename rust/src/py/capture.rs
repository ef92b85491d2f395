//! Bindings of capture: a recorder that is started, watched, read from and stopped.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::prelude::*;

use crate::capture::{RecordOptions, Recorder as Engine, Tier};
use crate::decode::Responses;
use crate::{Error, Result};

use super::events::{Batch, Event, Fetched};

#[pyclass(frozen, module = "membench._native")]
struct Recorder {
    engine: Engine,
    fetched: Fetched,
    result: OnceLock<String>,
}

#[pymethods]
impl Recorder {
    #[new]
    #[pyo3(signature = (source, *, output, ports, responses, ring_size, tier, duration, force, key_file, statistics,
        drop_privileges, live))]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a keyword of the Python signature"
    )]
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "each is a keyword of the Python signature"
    )]
    fn new(
        py: Python<'_>,
        source: String,
        output: Option<PathBuf>,
        ports: Vec<u16>,
        responses: &str,
        ring_size: u32,
        tier: Option<&str>,
        duration: Option<f64>,
        force: bool,
        key_file: Option<PathBuf>,
        statistics: bool,
        drop_privileges: bool,
        live: bool,
    ) -> PyResult<Self> {
        let options = RecordOptions {
            source,
            output,
            force,
            ports,
            responses: parse_responses(responses)?,
            ring_bytes: ring_size,
            tier: tier.map(parse_tier).transpose()?,
            duration: duration.map(seconds).transpose()?,
            key_file,
            statistics,
            drop_privileges,
            live,
        };
        let engine = py.detach(|| Engine::start(options))?;
        Ok(Self {
            engine,
            fetched: Fetched::default(),
            result: OnceLock::new(),
        })
    }

    fn status(&self) -> PyResult<String> {
        super::json(&self.engine.status())
    }

    #[getter]
    fn done(&self) -> bool {
        self.engine.done()
    }

    fn wait(&self, py: Python<'_>, timeout_s: f64) -> PyResult<bool> {
        let patience = seconds(timeout_s)?;
        let ended = py.detach(|| self.engine.wait(patience));
        py.check_signals()?;
        Ok(ended)
    }

    fn stop(&self, reason: &str) {
        self.engine.stop(reason);
    }

    fn result(&self, py: Python<'_>) -> PyResult<String> {
        if let Some(known) = self.result.get() {
            return Ok(known.clone());
        }
        let recording = super::json(&py.detach(|| self.engine.finish())?)?;
        Ok(self.result.get_or_init(|| recording).clone())
    }

    fn next_event(&self, py: Python<'_>, timeout_s: f64) -> PyResult<Option<Event>> {
        let patience = seconds(timeout_s)?;
        let next = py.detach(|| self.fetched.next(|| self.engine.next_batch(patience)));
        py.check_signals()?;
        Ok(next)
    }

    fn next_batch(&self, py: Python<'_>, timeout_s: f64) -> PyResult<Option<Batch>> {
        let patience = seconds(timeout_s)?;
        let next = py.detach(|| self.engine.next_batch(patience));
        py.check_signals()?;
        Ok(next.as_ref().map(Batch::new).transpose()?)
    }
}

fn parse_responses(name: &str) -> Result<Responses> {
    [Responses::None, Responses::Lengths, Responses::Bytes]
        .into_iter()
        .find(|responses| responses.name() == name)
        .ok_or_else(|| Error::UnknownResponses {
            found: name.to_owned(),
        })
}

fn parse_tier(name: &str) -> Result<Tier> {
    Tier::ALL
        .into_iter()
        .find(|tier| tier.name() == name)
        .ok_or_else(|| Error::UnknownTier {
            found: name.to_owned(),
        })
}

fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Error::NotADuration { seconds })
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Recorder>()
}
