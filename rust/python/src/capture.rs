//! Bindings of capture: a recorder that is started, watched, read from and stopped.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::raise;
use crate::{Error, Result};
use membench_capture::{
    Attachment, Hooks, Limits, RecordOptions, Recorder as Engine, Rotate, Selection, Side,
};
use membench_decode::Responses;
use membench_event::Sample;

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
    #[pyo3(signature = (source, *, file, interface, hooked, fallback, output, selection, responses,
        ring_size, hooks, duration, force, key_file, statistics, drop_privileges, live, guards, max_size,
        sample_keys, sample_connections, rotate_bytes, rotate_s))]
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
        file: Option<PathBuf>,
        interface: Option<String>,
        hooked: Option<String>,
        fallback: bool,
        output: Option<PathBuf>,
        selection: Selected,
        responses: &str,
        ring_size: u32,
        hooks: Option<&str>,
        duration: Option<f64>,
        force: bool,
        key_file: Option<PathBuf>,
        statistics: bool,
        drop_privileges: bool,
        live: bool,
        guards: Guards,
        max_size: Option<u64>,
        sample_keys: u32,
        sample_connections: u32,
        rotate_bytes: Option<u64>,
        rotate_s: Option<f64>,
    ) -> PyResult<Self> {
        let (hooks, attachment) = hooks.map(parse_hooks).transpose()?.unwrap_or_default();
        let options = RecordOptions {
            source,
            file,
            interface,
            hooked,
            fallback,
            output,
            force,
            selection: selection.parse()?,
            responses: parse_responses(responses)?,
            ring_bytes: ring_size,
            hooks,
            attachment,
            duration: duration.map(seconds).transpose()?,
            key_file,
            statistics,
            drop_privileges,
            live,
            names: None,
            max_size,
            rotate: match (rotate_bytes, rotate_s) {
                (Some(bytes), _) => Some(Rotate::Size(bytes)),
                (None, Some(age)) => Some(Rotate::Age(seconds(age)?)),
                (None, None) => None,
            },
            sample: Sample {
                keys: sample_keys,
                connections: sample_connections,
            },
            nice: guards.nice,
            limits: guards.limits(),
        };
        let engine = py.detach(|| Engine::start(options)).map_err(raise)?;
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
        let recording = super::json(&py.detach(|| self.engine.finish()).map_err(raise)?)?;
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

/// `membench._arguments.Selection`, by its attributes.
#[derive(FromPyObject)]
pub(super) struct Selected {
    side: String,
    ports: Vec<u16>,
    sockets: Vec<PathBuf>,
    pids: Vec<u32>,
    cgroups: Vec<PathBuf>,
    network_namespaces: Vec<String>,
}

impl Selected {
    pub(super) fn parse(self) -> Result<Selection> {
        Ok(Selection {
            side: parse_side(&self.side)?,
            ports: self.ports,
            sockets: self.sockets,
            pids: self.pids,
            cgroups: self.cgroups,
            network_namespaces: self.network_namespaces,
        })
    }
}

/// `membench.Guards`, by its attributes.
#[derive(Clone, Copy, FromPyObject)]
struct Guards {
    nice: Option<i32>,
    max_cpu: Option<f64>,
    max_memory: Option<u64>,
    max_size: Option<u64>,
    min_free: Option<u64>,
}

impl Guards {
    fn limits(self) -> Limits {
        Limits {
            max_cpu: self.max_cpu,
            max_memory: self.max_memory,
            max_size: self.max_size,
            min_free: self.min_free,
        }
    }
}

fn parse_side(name: &str) -> Result<Side> {
    [Side::Server, Side::Client]
        .into_iter()
        .find(|side| side.name() == name)
        .ok_or_else(|| Error::UnknownWord {
            option: "side",
            found: name.to_owned(),
            wanted: "`server` or `client`",
        })
}

pub(super) fn parse_responses(name: &str) -> Result<Responses> {
    [Responses::None, Responses::Lengths, Responses::Bytes]
        .into_iter()
        .find(|responses| responses.name() == name)
        .ok_or_else(|| Error::UnknownWord {
            option: "responses mode",
            found: name.to_owned(),
            wanted: "`bytes`, `lengths` or `none`",
        })
}

/// Hooks of sockets, or a way to attach to interfaces.
fn parse_hooks(name: &str) -> Result<(Option<Hooks>, Option<Attachment>)> {
    let hooks = Hooks::ALL.into_iter().find(|hooks| hooks.name() == name);
    let mut ways = Attachment::ALL.into_iter();
    let attachment = ways.find(|attachment| attachment.name() == name);
    if hooks.is_none() && attachment.is_none() {
        return Err(Error::UnknownWord {
            option: "hooks",
            found: name.to_owned(),
            wanted: "`sockets`, `syscalls`, `tcx` or `clsact`",
        });
    }
    Ok((hooks, attachment))
}

pub(super) fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Error::NotADuration { seconds })
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Recorder>()
}
