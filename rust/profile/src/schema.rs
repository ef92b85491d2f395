//! The columns of an event as an Arrow schema.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

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

/// Returns the Arrow schema of a profile's events.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Returns the Arrow schema of an open part, with [`REMAINDER`].
pub(super) fn part_schema() -> SchemaRef {
    Arc::clone(&PART)
}

/// Arrow type of `time`.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn names(index: DataType) -> DataType {
    DataType::Dictionary(Box::new(index), Box::new(DataType::Utf8))
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
        nullable("server_time", UInt32),
        nullable("queue_time", UInt32),
        nullable("namespace", names(UInt16)),
    ]
}
