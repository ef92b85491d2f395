//! The native module of Python. One file binds one operation: convert in, detach, convert out.

mod analysis;
mod arrow;
#[cfg(feature = "ebpf")]
mod bpf;
mod capture;
mod doctor;
mod error;
mod events;
#[cfg(feature = "ebpf")]
mod observe;
#[cfg(feature = "ebpf")]
mod probe;
mod profile;
mod replay;
mod schema;
mod top;
#[cfg(feature = "ebpf")]
mod trace;

use pyo3::prelude::*;

use error::{Error, MembenchError, Result};

/// Writes a result as JSON, which becomes a dataclass in Python.
fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| MembenchError::new_err(error.to_string()))
}

/// membench's engine; use it through the `membench` package.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    capture::register(module)?;
    events::register(module)?;
    profile::register(module)?;
    analysis::register(module)?;
    replay::register(module)?;
    schema::register(module)?;
    top::register(module)?;
    #[cfg(feature = "ebpf")]
    bpf::register(module)?;
    #[cfg(feature = "ebpf")]
    observe::register(module)?;
    #[cfg(feature = "ebpf")]
    probe::register(module)?;
    #[cfg(feature = "ebpf")]
    trace::register(module)?;
    doctor::register(module)
}
