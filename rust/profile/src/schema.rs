//! The columns of an event, as an Arrow schema.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Name of the column that only an open part has: what microseconds leave over, ns. Sealing sorts by it and drops it.
pub(super) const REMAINDER: &str = "time_remainder";

/// The columns that order events.
pub(super) const ORDER: [&str; 4] = ["time", "connection", "batch", "request"];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields())));
static PART: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = fields();
    fields.push(Field::new(REMAINDER, DataType::UInt16, false));
    Arc::new(Schema::new(fields))
});

/// The schema of a profile's events.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The schema of an open part.
pub(super) fn part_schema() -> SchemaRef {
    Arc::clone(&PART)
}

/// The type of `time`.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn names(index: DataType) -> DataType {
    DataType::Dictionary(Box::new(index), Box::new(DataType::Utf8))
}

fn fields() -> Vec<Field> {
    use DataType::{Int32, UInt8, UInt16, UInt32, UInt64};

    let given = |name: &str, kind| Field::new(name, kind, false);
    let nullable = |name: &str, kind| Field::new(name, kind, true);
    vec![
        given("time", timestamp()),
        given("connection", UInt32),
        given("batch", UInt32),
        given("request", UInt32),
        given("command", names(UInt8)),
        given("protocol", names(UInt8)),
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
        given("options", names(UInt16)),
        nullable("outcome", names(UInt8)),
        nullable("server_time", UInt32),
        nullable("queue_time", UInt32),
        nullable("namespace", names(UInt16)),
    ]
}
