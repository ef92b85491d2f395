//! The columns of an event as an Arrow schema.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use membench_event::digits;

/// Column that only an open part has: nanoseconds beyond the whole microsecond of `time`. Sealing sorts by it and drops
/// it.
pub(super) const REMAINDER: &str = "time_remainder";

/// Columns that had another name and type before, and their present names.
const PAST_NAMES: [(&str, &str); 2] = [("delta", "delta_size"), ("initial", "initial_size")];

/// Columns that order events.
pub(super) const ORDER: [&str; 4] = ["time", "connection", "batch", "request"];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields())));
static PART: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = fields();
    fields.push(Field::new(REMAINDER, DataType::UInt16, false));
    Arc::new(Schema::new(fields))
});

static PAST: LazyLock<[SchemaRef; 2]> =
    LazyLock::new(|| [fields_before_4(), fields_before_3()].map(|it| Arc::new(Schema::new(it))));

/// Returns the Arrow schema of a profile's events.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Returns the Arrow schema of an open part, with [`REMAINDER`].
pub(super) fn part_schema() -> SchemaRef {
    Arc::clone(&PART)
}

/// Returns the Arrow schemas of events before the present one, latest first.
pub(super) fn past_schemas() -> [SchemaRef; 2] {
    PAST.clone()
}

/// True if every column is one of an event, in any schema version.
pub(super) fn is_known(schema: &Schema) -> bool {
    let present = part_schema();
    let known = |field: &Field| {
        let same = |known: &SchemaRef| {
            let of = known.field_with_name(field.name());
            of.is_ok_and(|of| of.data_type() == field.data_type())
        };
        same(&present) || PAST.iter().any(same)
    };
    schema.fields().iter().all(|field| known(field))
}

/// Returns the index, in a schema of any version, of a column of the present one.
pub(super) fn index_in(schema: &Schema, name: &str) -> Result<usize, ArrowError> {
    schema.index_of(name).or_else(|error| {
        let past = PAST_NAMES.iter().find(|(_, present)| *present == name);
        past.map_or(Err(error), |(past, _)| schema.index_of(past))
    })
}

/// Converts a batch of any schema version, and of any of its columns, to the present one.
pub(super) fn present(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let known = part_schema();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let past = PAST_NAMES.iter().find(|(past, _)| past == field.name());
        let name = past.map_or(field.name().as_str(), |(_, present)| present);
        if let Some((_, field)) = known.fields().find(name) {
            columns.push(converted(column, field.data_type()));
            fields.push(Arc::clone(field));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Returns a column of 32-bit numbers as one of 64-bit numbers, and one of numbers as one of their sizes, if that is
/// wanted; any other as it is.
fn converted(column: &ArrayRef, wanted: &DataType) -> ArrayRef {
    if let Some(narrow) = column.as_primitive_opt::<UInt32Type>()
        && *wanted == DataType::UInt64
    {
        return Arc::new(narrow.unary::<_, UInt64Type>(u64::from));
    }
    if let Some(numbers) = column.as_primitive_opt::<UInt64Type>()
        && *wanted == DataType::UInt8
    {
        return Arc::new(numbers.unary::<_, UInt8Type>(digits));
    }
    Arc::clone(column)
}

/// Arrow type of `time`.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn names(index: DataType) -> DataType {
    DataType::Dictionary(Box::new(index), Box::new(DataType::Utf8))
}

/// Before version 4, two columns held the numbers themselves.
fn fields_before_4() -> Vec<Field> {
    let mut fields = fields();
    for field in &mut fields {
        if let Some((past, _)) = PAST_NAMES.iter().find(|(_, now)| now == field.name()) {
            *field = Field::new(*past, DataType::UInt64, true);
        }
    }
    fields
}

/// Before version 3, times saturated at 32 bits, and a column had no use.
fn fields_before_3() -> Vec<Field> {
    let mut fields = fields_before_4();
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
        nullable("delta_size", UInt8),
        nullable("initial_size", UInt8),
        nullable("vivify_ttl", Int32),
        nullable("recache_ttl", Int32),
        nullable("opaque_size", UInt8),
        required("options", names(UInt16)),
        nullable("outcome", names(UInt8)),
        nullable("server_time", UInt64),
        nullable("queue_time", UInt64),
    ]
}
