//! Bindings of capture: a recorder that is started, watched, read from and stopped.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::raise;
use crate::{Error, Result};
use membench_capture::{
    Attachment, Hooks, Limits, RecordOptions, Recorder as Engine, Rotate, Selection, Side,
    SourceSpec,
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
    fn new(py: Python<'_>, sources: Vec<String>, options: Options) -> PyResult<Self> {
        let options = options.parse(sources)?;
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

    #[getter]
    fn is_ending(&self) -> bool {
        self.engine.is_ending()
    }

    fn observe(&self, py: Python<'_>, rows: &str) -> PyResult<bool> {
        py.detach(|| self.engine.observe(rows)).map_err(raise)
    }

    fn end_observation(&self) {
        self.engine.end_observation();
    }

    fn exclude(&self, address: IpAddr, port: u16) {
        self.engine.exclude(SocketAddr::new(address, port));
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

/// `membench._options.Options`, by its attributes.
#[derive(FromPyObject)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an attribute of the Python object"
)]
pub(super) struct Options {
    selection: Selected,
    responses: String,
    arrival: bool,
    ring_size: u32,
    hooks: Option<String>,
    fallback: bool,
    output: Option<PathBuf>,
    force: bool,
    wait: bool,
    duration_s: Option<f64>,
    max_size: Option<u64>,
    rotation: Option<Rotation>,
    sample: Sampled,
    guards: Guards,
    key_file: Option<PathBuf>,
    statistics: bool,
    drop_privileges: bool,
    observed: bool,
    host: Option<String>,
    live: bool,
}

impl Options {
    pub(super) fn parse(self, sources: Vec<String>) -> Result<RecordOptions> {
        let hooks = self.hooks.as_deref().map(parse_hooks).transpose()?;
        let (hooks, attachment) = hooks.unwrap_or_default();
        Ok(RecordOptions {
            source: SourceSpec::parse_all(sources)?,
            hooks,
            attachment,
            fallback: self.fallback,
            output: self.output,
            force: self.force,
            wait: self.wait,
            selection: self.selection.parse()?,
            responses: parse_responses(&self.responses)?,
            arrival: self.arrival,
            ring_bytes: self.ring_size,
            duration: self.duration_s.map(seconds).transpose()?,
            rotate: self
                .rotation
                .map(Rotation::parse)
                .transpose()?
                .unwrap_or_default(),
            max_size: self.max_size,
            sample: self.sample.parse(),
            nice: self.guards.nice,
            limits: self.guards.limits(),
            key_file: self.key_file,
            statistics: self.statistics,
            drop_privileges: self.drop_privileges,
            observed: self.observed,
            host: self
                .host
                .as_deref()
                .map(facts)
                .transpose()?
                .unwrap_or_default(),
            live: self.live,
            patient: false,
            names: None,
            addresses: None,
        })
    }
}

fn facts(text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|_| Error::UnknownWord {
        option: "facts about the host",
        found: text.to_owned(),
        wanted: "JSON",
    })
}

/// `membench.Selection`, by its attributes.
#[derive(FromPyObject)]
pub(super) struct Selected {
    side: String,
    ports: Ports,
    sockets: Vec<PathBuf>,
    pids: Vec<u32>,
    cgroups: Vec<PathBuf>,
    network_namespaces: Vec<String>,
}

/// Ports: a list of them, or `any`.
#[derive(FromPyObject)]
enum Ports {
    Of(Vec<u16>),
    Word(String),
}

impl Ports {
    /// Returns the ports, and true for any.
    fn parse(self) -> Result<(Vec<u16>, bool)> {
        match self {
            Self::Of(ports) => Ok((ports, false)),
            Self::Word(word) if word == "any" => Ok((Vec::new(), true)),
            Self::Word(found) => Err(Error::UnknownWord {
                option: "ports",
                found,
                wanted: "a list of them, or `any`",
            }),
        }
    }
}

impl Selected {
    pub(super) fn parse(self) -> Result<Selection> {
        let (ports, any_port) = self.ports.parse()?;
        Ok(Selection {
            side: parse_side(&self.side)?,
            ports,
            any_port,
            sockets: self.sockets,
            pids: self.pids,
            cgroups: self.cgroups,
            network_namespaces: self.network_namespaces,
        })
    }
}

/// `membench.Rotation`, by its attributes.
#[derive(Clone, Copy, FromPyObject)]
struct Rotation {
    size: Option<u64>,
    every_s: Option<f64>,
}

impl Rotation {
    fn parse(self) -> Result<Rotate> {
        Ok(Rotate {
            bytes: self.size,
            age: self.every_s.map(seconds).transpose()?,
        })
    }
}

/// `membench.Sample`, by its attributes.
#[derive(Clone, Copy, FromPyObject)]
struct Sampled {
    keys: u32,
    connections: u32,
}

impl Sampled {
    fn parse(self) -> Sample {
        Sample {
            keys: self.keys,
            connections: self.connections,
        }
    }
}

/// `membench.Guards`, by its attributes.
#[derive(Clone, Copy, FromPyObject)]
struct Guards {
    nice: Option<i32>,
    max_cpu: Option<f64>,
    max_memory: Option<u64>,
    max_written: Option<u64>,
    min_free: Option<u64>,
}

impl Guards {
    fn limits(self) -> Limits {
        Limits {
            max_cpu: self.max_cpu,
            max_memory: self.max_memory,
            max_written: self.max_written,
            min_free: self.min_free,
        }
    }
}

#[pyfunction]
fn source_kind(text: &str) -> PyResult<&'static str> {
    SourceSpec::parse(text)
        .map(|source| source.kind())
        .map_err(raise)
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

fn parse_responses(name: &str) -> Result<Responses> {
    [Responses::None, Responses::Lengths, Responses::Bytes]
        .into_iter()
        .find(|responses| responses.name() == name)
        .ok_or_else(|| Error::UnknownWord {
            option: "responses mode",
            found: name.to_owned(),
            wanted: "`bytes`, `lengths` or `none`",
        })
}

/// Parses the name of hooks of sockets, or of a way to attach to interfaces.
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
    module.add_function(wrap_pyfunction!(source_kind, module)?)?;
    module.add_class::<Recorder>()
}
