//! Intervals of an observation that ran beside a recording → rows of their tables.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    ArrayRef, Float64Array, PrimitiveArray, RecordBatch, StringArray, UInt64Array, new_null_array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde_json::{Map, Value};

use super::schema::timestamp;
use crate::{Error, Result};
use membench_event::Anchor;

/// Kind of the values of a column.
#[derive(Clone, Copy)]
enum Kind {
    /// Moment: monotonic ns in a row, UTC µs in the column.
    Time,
    /// Whole number.
    Whole,
    /// Number.
    Number,
    /// Text.
    Text,
}

/// A column: its name, the kind of its values, and true if a value may be missing.
type Column = (&'static str, Kind, bool);

/// A table of an observation.
struct Description {
    name: &'static str,
    columns: &'static [Column],
}

use Kind::{Number, Text, Time, Whole};

/// The tables. A new column must be nullable, so that profiles without it are read.
const TABLES: [Description; 8] = [
    Description {
        name: "observe-intervals",
        columns: &[
            ("time", Time, false),
            ("length", Whole, false),
            ("requests", Whole, true),
            ("whole", Whole, true),
            ("waited", Whole, true),
            ("waited_briefly", Whole, true),
            ("waited_for_unknown", Whole, true),
            ("slow_requests", Whole, true),
            ("slow_unread", Whole, true),
            ("missed_runs", Whole, true),
            ("missed_broken", Whole, true),
            ("missed_unseen", Whole, true),
            ("missed_unlisted", Whole, true),
            ("missed_moved", Whole, true),
            ("missed_no_state", Whole, true),
            ("missed_unanswered", Whole, true),
            ("missed_continued", Whole, true),
            ("missed_untold_switches", Whole, true),
            ("steal", Number, false),
            ("throttled", Whole, true),
            ("periods_throttled", Whole, false),
            ("retransmits", Whole, true),
            ("resets_sent", Whole, true),
            ("resets_received", Whole, true),
            ("pressure_cpu", Number, true),
            ("pressure_memory", Number, true),
            ("pressure_io", Number, true),
            ("cost", Number, true),
            ("cpu_share", Number, true),
        ],
    },
    Description {
        name: "observe-parts",
        columns: &[
            ("time", Time, false),
            ("part", Text, false),
            ("total", Whole, false),
            ("p50", Whole, true),
            ("p90", Whole, true),
            ("p99", Whole, true),
            ("p999", Whole, true),
            ("max", Whole, true),
        ],
    },
    Description {
        name: "observe-culprits",
        columns: &[
            ("time", Time, false),
            ("task", Text, false),
            ("process", Whole, false),
            ("cgroup", Text, true),
            ("waited", Whole, false),
            ("waits", Whole, false),
            ("share", Number, false),
        ],
    },
    Description {
        name: "observe-workers",
        columns: &[
            ("time", Time, false),
            ("process", Whole, false),
            ("thread", Whole, false),
            ("name", Text, false),
            ("requests", Whole, false),
            ("whole", Whole, false),
            ("reads", Whole, false),
            ("wake_ups", Whole, false),
            ("running", Whole, true),
            ("run_queue_woken", Whole, true),
            ("run_queue_preempted", Whole, true),
            ("idle", Whole, true),
            ("lock", Whole, true),
            ("page_fault", Whole, true),
            ("disk", Whole, true),
            ("stopped", Whole, true),
            ("kernel_wait", Whole, true),
            ("other_sleep", Whole, true),
        ],
    },
    Description {
        name: "observe-verdicts",
        columns: &[
            ("time", Time, false),
            ("rule", Text, false),
            ("text", Text, false),
            ("evidence", Text, false),
        ],
    },
    Description {
        name: "observe-slow",
        columns: &[
            ("time", Time, false),
            ("whole", Whole, false),
            ("port", Whole, false),
            ("process", Whole, false),
            ("thread", Whole, false),
            ("name", Text, false),
            ("command", Text, true),
            ("answer", Text, true),
            ("request_bytes", Whole, false),
            ("answer_bytes", Whole, false),
            ("wake_up", Whole, true),
            ("accept", Whole, true),
            ("run_queue_woken", Whole, true),
            ("run_queue_preempted", Whole, true),
            ("ahead", Whole, true),
            ("read", Whole, true),
            ("memcached", Whole, true),
            ("send", Whole, true),
            ("parked", Whole, true),
            ("lock", Whole, true),
            ("page_fault", Whole, true),
            ("disk", Whole, true),
            ("stopped", Whole, true),
            ("kernel_wait", Whole, true),
            ("other_sleep", Whole, true),
            ("unexplained", Whole, true),
        ],
    },
    Description {
        name: "observe-threads",
        columns: &[
            ("time", Time, false),
            ("port", Whole, false),
            ("process", Whole, true),
            ("thread", Whole, false),
            ("name", Text, false),
            ("role", Text, false),
            ("cpu", Whole, false),
            ("waited", Whole, false),
            ("sleeps", Whole, false),
            ("preemptions", Whole, false),
            ("minor_faults", Whole, false),
            ("major_faults", Whole, false),
        ],
    },
    Description {
        name: "observe-counters",
        columns: &[
            ("time", Time, false),
            ("port", Whole, false),
            ("process", Whole, true),
            ("counter", Text, false),
            ("growth", Whole, false),
            ("span", Whole, true),
        ],
    },
];

static SCHEMAS: LazyLock<Vec<SchemaRef>> = LazyLock::new(|| {
    let schema = |table: &Description| {
        let columns = table.columns.iter();
        let fields = columns.map(|(name, kind, is_nullable)| {
            let values = match kind {
                Kind::Time => timestamp(),
                Kind::Whole => DataType::UInt64,
                Kind::Number => DataType::Float64,
                Kind::Text => DataType::Utf8,
            };
            Field::new(*name, values, *is_nullable)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    TABLES.iter().map(schema).collect()
});

/// Returns the names of an observation's tables, each with its Arrow schema.
pub fn observation_tables() -> impl Iterator<Item = (&'static str, SchemaRef)> {
    TABLES
        .iter()
        .map(|table| table.name)
        .zip(SCHEMAS.iter().cloned())
}

/// Returns the schema of a table.
pub(super) fn schema_of(name: &str) -> Result<SchemaRef> {
    let found = observation_tables().find_map(|(known, schema)| (known == name).then_some(schema));
    found.ok_or_else(|| Error::NoSuchTable { name: name.into() })
}

/// File name of a table that grows, until the profile is sealed.
pub(super) fn open_name(table: &str) -> String {
    format!("{table}.arrows.part")
}

/// File name of a sealed table.
pub(super) fn sealed_name(table: &str) -> String {
    format!("{table}.parquet")
}

/// True if a file belongs to a table of an observation.
pub(super) fn is_file(name: &str) -> bool {
    let stem = name
        .strip_suffix(".parquet")
        .or_else(|| name.strip_suffix(".arrows.part"));
    stem.is_some_and(|stem| TABLES.iter().any(|table| table.name == stem))
}

/// Rows of an observation, to be written to the profile of the recording that it ran beside.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The rows of each table that has any.
    pub(super) batches: Vec<(&'static str, RecordBatch)>,
}

impl Observation {
    /// Reads rows from JSON: an object with an array of rows for each table, which are objects by column. Times are
    /// `CLOCK_MONOTONIC` ns; the anchor places them.
    ///
    /// # Errors
    ///
    /// The text is not such an object, or a row lacks a value.
    pub fn parse(text: &str, anchor: Anchor) -> Result<Self> {
        type Rows = Vec<Map<String, Value>>;
        let mut given: BTreeMap<String, Rows> =
            serde_json::from_str(text).map_err(|error| unfit(&error))?;
        let mut batches = Vec::new();
        for (table, schema) in TABLES.iter().zip(SCHEMAS.iter()) {
            let rows = given.remove(table.name).unwrap_or_default();
            if rows.is_empty() {
                continue;
            }
            let columns = table.columns.iter();
            let columns = columns.map(|column| values(*column, &rows, anchor));
            let batch = RecordBatch::try_new(Arc::clone(schema), columns.collect());
            batches.push((table.name, batch.map_err(|error| unfit(&error))?));
        }
        match given.keys().next() {
            None => Ok(Self { batches }),
            Some(name) => Err(Error::NoSuchTable { name: name.clone() }),
        }
    }
}

fn unfit(found: &dyn std::fmt::Display) -> Error {
    Error::Observation {
        found: found.to_string(),
    }
}

fn values((name, kind, _): Column, rows: &[Map<String, Value>], anchor: Anchor) -> ArrayRef {
    let of = rows.iter().map(|row| row.get(name));
    match kind {
        Kind::Time => {
            let micros = |ns| anchor.utc_ns(ns).div_euclid(1000);
            let times = of.map(|value| value?.as_u64().map(micros));
            let times: PrimitiveArray<TimestampMicrosecondType> = times.collect();
            Arc::new(times.with_timezone("UTC"))
        }
        Kind::Whole => Arc::new(of.map(|value| value?.as_u64()).collect::<UInt64Array>()),
        Kind::Number => Arc::new(of.map(|value| value?.as_f64()).collect::<Float64Array>()),
        Kind::Text => Arc::new(of.map(|value| value?.as_str()).collect::<StringArray>()),
    }
}

/// Fits a batch of any version of a table to the present columns: those that it lacks are null.
pub(super) fn present(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
            _ => {
                let name = field.name();
                Err(ArrowError::SchemaError(format!("`{name}` does not fit")))
            }
        });
    RecordBatch::try_new(
        Arc::clone(schema),
        columns.collect::<std::result::Result<_, _>>()?,
    )
}
