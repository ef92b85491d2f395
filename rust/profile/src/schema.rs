//! The columns of an event as an Arrow schema.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

/// Column that only an open part has: nanoseconds beyond the whole microsecond of `time`. Sealing sorts by it and drops
/// it.
pub(super) const REMAINDER: &str = "time_remainder";

/// Columns that order events.
pub(super) const ORDER: [&str; 4] = ["time", "connection", "batch", "request"];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields())));
static PART: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = fields();
    fields.push(Field::new(REMAINDER, DataType::UInt16, false));
    Arc::new(Schema::new(fields))
});

static BEFORE_3: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields_before_3())));

/// Returns the Arrow schema of a profile's events.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Returns the Arrow schema of an open part, with [`REMAINDER`].
pub(super) fn part_schema() -> SchemaRef {
    Arc::clone(&PART)
}

/// Returns the Arrow schema of events before schema version 3: times saturated at 32 bits, and a column had no use.
pub(super) fn schema_before_3() -> SchemaRef {
    Arc::clone(&BEFORE_3)
}

/// Converts a batch of any schema version, and of any of its columns, to the present one.
pub(super) fn present(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let known = part_schema();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if let Some((_, field)) = known.fields().find(field.name()) {
            columns.push(widened(column, field.data_type()));
            fields.push(Arc::clone(field));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Returns a column of 32-bit numbers as one of 64-bit numbers, if that is wanted, and any other as it is.
fn widened(column: &ArrayRef, wanted: &DataType) -> ArrayRef {
    match column.as_primitive_opt::<UInt32Type>() {
        Some(narrow) if *wanted == DataType::UInt64 => {
            Arc::new(narrow.unary::<_, UInt64Type>(u64::from))
        }
        _ => Arc::clone(column),
    }
}

/// Arrow type of `time`.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn names(index: DataType) -> DataType {
    DataType::Dictionary(Box::new(index), Box::new(DataType::Utf8))
}

fn fields_before_3() -> Vec<Field> {
    let mut fields = fields();
    for field in &mut fields {
        if matches!(field.name().as_str(), "server_time" | "queue_time") {
            *field = Field::new(field.name(), DataType::UInt32, true);
        }
    }
    fields.push(Field::new("namespace", names(DataType::UInt16), true));
    fields
}

fn fields() -> Vec<Field> {
    use DataType::{Int32, UInt8, UInt16, UInt32, UInt64};

    let required = |name: &str, kind| Field::new(name, kind, false);
    let nullable = |name: &str, kind| Field::new(name, kind, true);
    vec![
        required("time", timestamp()),
        required("connection", UInt32),
        required("batch", UInt32),
        required("request", UInt32),
        required("command", names(UInt8)),
        required("protocol", names(UInt8)),
        nullable("key", UInt64),
        nullable("key_size", UInt8),
        nullable("value_size", UInt32),
        nullable("request_size", UInt32),
        nullable("ttl", Int32),
        nullable("flags", UInt32),
        nullable("cas", UInt32),
        nullable("delta", UInt64),
        nullable("initial", UInt64),
        nullable("vivify_ttl", Int32),
        nullable("recache_ttl", Int32),
        nullable("opaque_size", UInt8),
        required("options", names(UInt16)),
        nullable("outcome", names(UInt8)),
        nullable("server_time", UInt64),
        nullable("queue_time", UInt64),
    ]
}
