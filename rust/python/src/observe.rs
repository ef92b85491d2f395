//! Bindings of observations: requests of live memcacheds, interval by interval.

use std::sync::{Mutex, MutexGuard, PoisonError};

use membench_observe::{Keep, Observer as Engine};
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

#[pymethods]
impl Observer {
    #[new]
    #[pyo3(signature = (selection, *, slower_than_s, keep, drop_privileges))]
    fn new(
        py: Python<'_>,
        selection: Selected,
        slower_than_s: Option<f64>,
        keep: usize,
        drop_privileges: bool,
    ) -> PyResult<Self> {
        let selection = selection.parse()?;
        let keep = slower_than_s
            .map(seconds)
            .transpose()
            .map_err(raise)?
            .map(|slower_than| Keep {
                slower_than,
                most: keep,
            });
        let engine = py.detach(|| Engine::start(&selection, keep));
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

    fn take(&self, py: Python<'_>) -> PyResult<String> {
        super::json(&py.detach(|| self.engine().take()).map_err(raise)?)
    }

    fn read_slow(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.engine().read_slow()).map_err(raise)
    }

    fn timeline<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.engine().timeline())
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
