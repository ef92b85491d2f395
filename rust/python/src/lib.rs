//! The Python module: one file an operation, each convert in, detach, convert out.

mod analysis;
mod capture;
mod doctor;
mod events;
mod profile;
mod replay;
mod top;

use pyo3::import_exception;
use pyo3::prelude::*;

use crate::Error;
use crate::error::Class;

import_exception!(membench.errors, MembenchError);
import_exception!(membench.errors, UsageError);
import_exception!(membench.errors, ProfileError);
import_exception!(membench.errors, CaptureUnavailable);
import_exception!(membench.errors, TargetError);
import_exception!(membench.errors, OutputExists);

/// What goes to Python as JSON text, to become a dataclass there.
fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| MembenchError::new_err(error.to_string()))
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let arguments = (error.to_string(), error.hint());
        match error.class() {
            Class::Failed => MembenchError::new_err(arguments),
            Class::Usage => UsageError::new_err(arguments),
            Class::Profile => ProfileError::new_err(arguments),
            Class::Environment => CaptureUnavailable::new_err(arguments),
            Class::Target => TargetError::new_err(arguments),
            Class::Exists => OutputExists::new_err(arguments),
        }
    }
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
    top::register(module)?;
    doctor::register(module)
}
