//! The binding of analysis: an open profile → the analysis as JSON.

use pyo3::prelude::*;

use membench_analysis::{Options, Section};

use crate::error::raise;
use crate::profile::Profile;
use crate::{Result, json};

#[pyfunction]
#[pyo3(signature = (profile, *, only = None))]
fn analyze(
    py: Python<'_>,
    profile: &Bound<'_, Profile>,
    only: Option<Vec<String>>,
) -> PyResult<String> {
    let profile = profile.get().engine();
    let options = Options {
        only: only.map(sections).transpose()?,
        ..Options::default()
    };
    let found = py.detach(|| membench_analysis::analyze(profile, &options));
    json(&found.map_err(raise)?)
}

#[pyfunction]
fn slowest_seconds(py: Python<'_>, profile: &Bound<'_, Profile>, most: usize) -> PyResult<String> {
    let profile = profile.get().engine();
    let found = py.detach(|| membench_analysis::slowest_seconds(profile, most));
    json(&found.map_err(raise)?)
}

fn sections(names: Vec<String>) -> Result<Vec<Section>> {
    let sections = names.into_iter().map(|name| Section::parse(&name));
    Ok(sections.collect::<membench_analysis::Result<_>>()?)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(analyze, module)?)?;
    module.add_function(wrap_pyfunction!(slowest_seconds, module)?)
}
