//! Bindings of observations: requests of live memcacheds, interval by interval.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use membench_observe::{Keep, Observer as Engine, Options};
use pyo3::{prelude::*, types::PyBytes};

use membench_bpf::Capability;
use membench_capture::give_up_privileges;

use super::{
    capture::{Selected, seconds},
    error::raise,
};

#[pyclass(frozen, module = "membench._native")]
struct Observer(Mutex<Engine>);

impl Observer {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `membench._observe.options.Options`, by its attributes.
#[derive(FromPyObject)]
struct Asked {
    requests: bool,
    by: Vec<String>,
    slower_than_s: Option<f64>,
    keep: usize,
    hindsight_s: Option<f64>,
    drop_privileges: bool,
}

impl Asked {
    fn parse(self) -> PyResult<Options> {
        let time = |given: Option<f64>| -> PyResult<Option<Duration>> {
            given.map(seconds).transpose().map_err(raise)
        };
        let is_by = |group: &str| self.by.iter().any(|one| one == group);
        Ok(Options {
            requests: self.requests,
            keep: time(self.slower_than_s)?.map(|slower_than| Keep {
                slower_than,
                most: self.keep,
            }),
            by_command: is_by("command"),
            by_connection: is_by("connection"),
            hindsight: time(self.hindsight_s)?,
        })
    }
}

#[pymethods]
impl Observer {
    #[new]
    fn new(py: Python<'_>, selection: Selected, options: Asked) -> PyResult<Self> {
        let selection = selection.parse()?;
        let drop_privileges = options.drop_privileges;
        let options = options.parse()?;
        let engine = py.detach(|| Engine::start(&selection, &options));
        let engine = engine.map_err(raise)?;
        if drop_privileges {
            give_up_all_but(Capability::for_elements())?;
        }
        Ok(Self(Mutex::new(engine)))
    }

    #[getter]
    fn ports(&self) -> Vec<u16> {
        self.engine().ports().to_vec()
    }

    #[getter]
    fn began_ns(&self) -> u64 {
        self.engine().began_ns()
    }

    #[getter]
    fn knows_cost(&self) -> bool {
        self.engine().knows_cost()
    }

    fn take(&self, py: Python<'_>) -> PyResult<String> {
        super::json(&py.detach(|| self.engine().take()).map_err(raise)?)
    }

    fn read_slow(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.engine().read_slow()).map_err(raise)
    }

    fn timeline<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.engine().timeline())
    }

    fn detach_requests(&self, py: Python<'_>) {
        py.detach(|| self.engine().detach_requests());
    }

    fn detach(&self, py: Python<'_>) {
        py.detach(|| self.engine().detach());
    }
}

/// Gives up every privilege of this process but that by which a server's process is found by its socket, as often as it
/// is started again.
#[pyfunction]
fn give_up_for_watching() -> PyResult<()> {
    give_up_all_but(&[])
}

fn give_up_all_but(others: &[Capability]) -> PyResult<()> {
    let kept: Vec<_> = others
        .iter()
        .copied()
        .chain([Capability::SysPtrace])
        .collect();
    give_up_privileges(Capability::set(&kept)).map_err(raise)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(give_up_for_watching, module)?)?;
    module.add_class::<Observer>()
}
