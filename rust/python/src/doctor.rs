//! The bindings of doctor: trials of each source, as JSON.

use pyo3::prelude::*;

use membench_capture as capture;

use crate::json;

#[pyfunction]
fn probe_ebpf(py: Python<'_>) -> PyResult<String> {
    json(&py.detach(capture::probe))
}

#[pyfunction]
fn probe_packets(py: Python<'_>, interface: &str) -> PyResult<String> {
    json(&py.detach(|| capture::probe_packets(interface)))
}

#[pyfunction]
fn probe_interface(py: Python<'_>) -> PyResult<String> {
    json(&py.detach(capture::probe_interface))
}

#[pyfunction]
fn running_servers(py: Python<'_>) -> Option<String> {
    py.detach(capture::running_servers)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(probe_packets, module)?)?;
    module.add_function(wrap_pyfunction!(probe_interface, module)?)?;
    module.add_function(wrap_pyfunction!(running_servers, module)?)?;
    module.add_function(wrap_pyfunction!(probe_ebpf, module)?)
}
