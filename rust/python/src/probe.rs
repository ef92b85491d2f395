//! Bindings of probes: a hook that is observed interval by interval, hooks that are found, and names of addresses.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use membench_capture::give_up_privileges;
use membench_probe::{By, Linear, Options, Probe as Engine, Symbols};
use pyo3::{prelude::*, types::PyBytes};

use super::error::{Error, Result, raise};

#[pyclass(frozen, module = "membench._native")]
struct Probe(Mutex<Engine>);

impl Probe {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `membench._probe.Options`, by its attributes.
#[derive(FromPyObject)]
struct Asked {
    hook: String,
    pids: Vec<u32>,
    comms: Vec<String>,
    cgroups: Vec<PathBuf>,
    ports: Vec<u16>,
    histogram: Option<String>,
    linear: Option<(i64, i64, u64)>,
    latency: bool,
    stacks: bool,
    top: usize,
    by: Option<String>,
    max_cost: Option<f64>,
    drop_privileges: bool,
}

impl Asked {
    fn parse(self) -> Result<Options> {
        Ok(Options {
            hook: self.hook,
            pids: self.pids,
            comms: self.comms,
            cgroups: self.cgroups,
            ports: self.ports,
            histogram: self.histogram,
            linear: self
                .linear
                .map(|(least, most, step)| Linear { least, most, step }),
            latency: self.latency,
            stacks: self.stacks,
            top: self.top,
            by: self.by.as_deref().map(by).transpose()?,
            max_cost: self.max_cost,
        })
    }
}

#[pymethods]
impl Probe {
    #[new]
    fn new(py: Python<'_>, options: Asked) -> PyResult<Self> {
        let drops = options.drop_privileges;
        let options = options.parse()?;
        let engine = py.detach(|| Engine::start(&options)).map_err(raise)?;
        if drops {
            give_up_privileges(engine.capabilities()).map_err(raise)?;
        }
        Ok(Self(Mutex::new(engine)))
    }

    #[getter]
    fn hook(&self) -> String {
        self.engine().hook()
    }

    #[getter]
    fn functions(&self) -> Vec<String> {
        self.engine().functions().to_vec()
    }

    /// Returns the share of one CPU that the hits take, if it passes the limit.
    fn excess(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        py.detach(|| self.engine().excess()).map_err(raise)
    }

    fn take(&self, py: Python<'_>) -> PyResult<String> {
        super::json(&py.detach(|| self.engine().take()).map_err(raise)?)
    }

    fn detach(&self, py: Python<'_>) {
        py.detach(|| self.engine().detach());
    }

    fn folded(&self) -> Vec<String> {
        self.engine().folded()
    }

    fn flame_graph<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let drawn = py.detach(|| self.engine().flame_graph());
        Ok(PyBytes::new(py, &drawn.map_err(raise)?))
    }
}

fn by(word: &str) -> Result<By> {
    match word {
        "process" => Ok(By::Process),
        "thread" => Ok(By::Thread),
        "cpu" => Ok(By::Cpu),
        other => Err(Error::UnknownWord {
            option: "by",
            found: other.into(),
            wanted: "`process`, `thread` or `cpu`",
        }),
    }
}

/// Finds hooks by a pattern.
#[pyfunction]
fn find_hooks(py: Python<'_>, pattern: String) -> PyResult<String> {
    let found = py.detach(move || membench_probe::hooks(&pattern));
    super::json(&found.map_err(raise)?)
}

/// Names the functions that addresses of a stack are in, of the kernel if no process is passed.
#[pyfunction]
#[pyo3(signature = (addresses, pid))]
fn symbolize(py: Python<'_>, addresses: Vec<u64>, pid: Option<u32>) -> Vec<String> {
    py.detach(move || match pid {
        Some(pid) => Symbols::default().process(pid, &addresses),
        None => Symbols::default().kernel(&addresses),
    })
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Probe>()?;
    module.add_function(wrap_pyfunction!(find_hooks, module)?)?;
    module.add_function(wrap_pyfunction!(symbolize, module)?)
}
