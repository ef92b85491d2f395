//! Record batches and schemas → capsules of Arrow's `PyCapsule` interface.

use arrow_array::RecordBatchReader;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, Schema};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::error::MembenchError;

/// Wraps record batches as an Arrow C stream, which any Arrow library takes.
pub(super) fn stream_capsule(
    py: Python<'_>,
    reader: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'_, PyCapsule>> {
    let stream = FFI_ArrowArrayStream::new(reader);
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// Wraps a schema as an Arrow C schema.
pub(super) fn schema_capsule<'py>(
    py: Python<'py>,
    schema: &Schema,
) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(arrow_failed)?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function of the error"
)]
fn arrow_failed(error: ArrowError) -> PyErr {
    MembenchError::new_err(error.to_string())
}
