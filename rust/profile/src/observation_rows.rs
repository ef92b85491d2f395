//! A table of an observation → its rows as JSON.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use serde_json::{Map, Value};

use super::stored_table::{Table, TableBatches};
use crate::{Error, Result};

/// Returns a batch's values as JSON: an array for each column. Times are UTC, µs since 1970.
fn as_json(batch: &RecordBatch) -> Map<String, Value> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let values = columns.map(|(field, column)| {
        let rows = 0..column.len();
        let values = rows.map(|row| {
            if column.is_null(row) {
                Value::Null
            } else {
                value(column, row)
            }
        });
        (field.name().clone(), values.collect())
    });
    values.collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    let number = |column: &ArrayRef| Some(column.as_primitive_opt::<Float64Type>()?.value(row));
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        times.value(row).into()
    } else if let Some(whole) = column.as_primitive_opt::<UInt64Type>() {
        whole.value(row).into()
    } else if let Some(text) = column.as_string_opt::<i32>() {
        text.value(row).into()
    } else {
        number(column).into()
    }
}

/// Iterator over the rows of a table, some thousands at a time, as JSON: an object with an array for each column.
pub struct ObservationRows {
    path: std::path::PathBuf,
    batches: TableBatches,
}

impl ObservationRows {
    /// Reads a table from its first row on.
    pub fn new(table: &Table) -> Result<Self> {
        Ok(Self {
            path: table.path().into(),
            batches: table.batches()?,
        })
    }
}

impl Iterator for ObservationRows {
    type Item = Result<Map<String, Value>>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(
            batch
                .map(|batch| as_json(&batch))
                .map_err(|source| Error::Arrow {
                    path: self.path.clone(),
                    source,
                }),
        )
    }
}
