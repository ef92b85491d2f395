//! Bindings of analysis.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use membench_analysis::{Options, Section};
use membench_profile::Profile;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(analyze, module)?)
}

#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "arguments from Python are owned"
)]
#[pyo3(signature = (path, *, only = None))]
fn analyze(py: Python<'_>, path: PathBuf, only: Option<Vec<String>>) -> PyResult<String> {
    let found = py.detach(|| -> crate::Result<_> {
        let options = Options {
            only: only.as_deref().map(sections).transpose()?,
            ..Options::default()
        };
        Ok(membench_analysis::analyze(
            &Profile::open(&path)?,
            &options,
        )?)
    })?;
    serde_json::to_string(&found).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn sections(names: &[String]) -> crate::Result<Vec<Section>> {
    let sections = names.iter().map(|name| Section::parse(name));
    Ok(sections.collect::<membench_analysis::Result<_>>()?)
}
