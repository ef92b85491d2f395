//! Record batches of a sealed part → events.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Int32Type, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray, RecordBatch};
use arrow_buffer::ArrowNativeType;

use membench_event::Anchor;
use membench_event::{Command, Event, Options, OptionsTable, Outcome, Protocol};

/// Characters of an unknown name that an error shows.
const LONGEST_SHOWN: usize = 40;

/// A column that breaks the schema.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) column: &'static str,
    /// Its actual content.
    pub(super) found: String,
}

type Result<T> = std::result::Result<T, Mismatch>;

/// A dictionary column with its names parsed into values. Unknown names are `None`; no row uses them.
struct Coded<K: ArrowDictionaryKeyType, T> {
    codes: PrimitiveArray<K>,
    values: Vec<Option<T>>,
}

/// The typed columns of a batch, read row by row.
pub(super) struct Columns {
    rows: usize,
    anchor: Anchor,
    time: PrimitiveArray<TimestampMicrosecondType>,
    connection: PrimitiveArray<UInt32Type>,
    batch: PrimitiveArray<UInt32Type>,
    request: PrimitiveArray<UInt32Type>,
    command: Coded<UInt8Type, Command>,
    protocol: Coded<UInt8Type, Protocol>,
    key: PrimitiveArray<UInt64Type>,
    key_size: PrimitiveArray<UInt8Type>,
    value_size: PrimitiveArray<UInt32Type>,
    request_size: PrimitiveArray<UInt32Type>,
    ttl: PrimitiveArray<Int32Type>,
    flags: PrimitiveArray<UInt32Type>,
    cas: PrimitiveArray<UInt32Type>,
    delta_size: PrimitiveArray<UInt8Type>,
    initial_size: PrimitiveArray<UInt8Type>,
    vivify_ttl: PrimitiveArray<Int32Type>,
    recache_ttl: PrimitiveArray<Int32Type>,
    opaque_size: PrimitiveArray<UInt8Type>,
    options: Coded<UInt16Type, Options>,
    outcome: Coded<UInt8Type, Outcome>,
    server_time: PrimitiveArray<UInt64Type>,
    queue_time: PrimitiveArray<UInt64Type>,
}

impl Columns {
    /// Checks and types the columns of a batch. Interns its options strings in the profile's table.
    pub(super) fn new(
        batch: &RecordBatch,
        anchor: Anchor,
        options: &mut OptionsTable,
    ) -> Result<Self> {
        Ok(Self {
            rows: batch.num_rows(),
            anchor,
            time: column(batch, "time")?,
            connection: column(batch, "connection")?,
            batch: column(batch, "batch")?,
            request: column(batch, "request")?,
            command: coded(batch, "command", |name| {
                named(&Command::ALL, name, Command::name)
            })?,
            protocol: coded(batch, "protocol", |name| {
                named(Protocol::ALL, name, Protocol::name)
            })?,
            key: column(batch, "key")?,
            key_size: column(batch, "key_size")?,
            value_size: column(batch, "value_size")?,
            request_size: column(batch, "request_size")?,
            ttl: column(batch, "ttl")?,
            flags: column(batch, "flags")?,
            cas: column(batch, "cas")?,
            delta_size: column(batch, "delta_size")?,
            initial_size: column(batch, "initial_size")?,
            vivify_ttl: column(batch, "vivify_ttl")?,
            recache_ttl: column(batch, "recache_ttl")?,
            opaque_size: column(batch, "opaque_size")?,
            options: coded(batch, "options", |name| options.intern(name))?,
            outcome: coded(batch, "outcome", |name| {
                named(Outcome::ALL, name, Outcome::name)
            })?,
            server_time: column(batch, "server_time")?,
            queue_time: column(batch, "queue_time")?,
        })
    }

    /// Number of events.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Sort key of an event: time in µs since 1970, connection, batch, request.
    pub(super) fn place(&self, row: usize) -> (i64, u32, u32, u32) {
        (
            self.time.value(row),
            self.connection.value(row),
            self.batch.value(row),
            self.request.value(row),
        )
    }

    /// Returns the event in a row, or `None` if a required column is null.
    pub(super) fn event(&self, row: usize) -> Option<Event> {
        Some(Event {
            time: self.anchor.monotonic_ns(self.time.value(row)),
            connection: self.connection.value(row),
            batch: self.batch.value(row),
            request: self.request.value(row),
            command: self.command.get(row)?,
            protocol: self.protocol.get(row)?,
            key: value(&self.key, row),
            key_size: value(&self.key_size, row),
            value_size: value(&self.value_size, row),
            request_size: value(&self.request_size, row),
            ttl: value(&self.ttl, row),
            flags: value(&self.flags, row),
            cas: value(&self.cas, row),
            delta_size: value(&self.delta_size, row),
            initial_size: value(&self.initial_size, row),
            vivify_ttl: value(&self.vivify_ttl, row),
            recache_ttl: value(&self.recache_ttl, row),
            opaque_size: value(&self.opaque_size, row),
            options: self.options.get(row)?,
            outcome: self.outcome.get(row),
            server_time: value(&self.server_time, row),
            queue_time: value(&self.queue_time, row),
        })
    }
}

impl<K: ArrowDictionaryKeyType, T: Copy> Coded<K, T> {
    fn get(&self, row: usize) -> Option<T> {
        let code = value(&self.codes, row)?.to_usize()?;
        self.values.get(code).copied().flatten()
    }
}

fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

fn column<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &'static str,
) -> Result<PrimitiveArray<T>> {
    let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
    let typed = column.as_primitive_opt::<T>();
    typed
        .cloned()
        .ok_or_else(|| mistyped(name, column.as_ref()))
}

fn coded<K: ArrowDictionaryKeyType, T>(
    batch: &RecordBatch,
    name: &'static str,
    mut parse: impl FnMut(&str) -> Option<T>,
) -> Result<Coded<K, T>> {
    let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
    let dictionary = column
        .as_dictionary_opt::<K>()
        .ok_or_else(|| mistyped(name, column.as_ref()))?;
    let names = dictionary
        .values()
        .as_string_opt::<i32>()
        .ok_or_else(|| mistyped(name, column.as_ref()))?;
    let values: Vec<Option<T>> = names
        .iter()
        .map(|value| parse(value.unwrap_or_default()))
        .collect();
    let unknown = |code: K::Native| {
        let code = code.to_usize()?;
        values.get(code)?.is_none().then(|| names.value(code))
    };
    match dictionary.keys().iter().flatten().find_map(unknown) {
        None => Ok(Coded {
            codes: dictionary.keys().clone(),
            values,
        }),
        Some(value) => Err(Mismatch {
            column: name,
            found: format!(
                "`{}`, which this schema version does not define",
                shown(value)
            ),
        }),
    }
}

/// Returns the beginning of a name that anybody may have chosen, without what a terminal would obey.
fn shown(name: &str) -> String {
    let beginning = name.chars().take(LONGEST_SHOWN);
    beginning.flat_map(char::escape_debug).collect()
}

fn missing(column: &'static str) -> Mismatch {
    Mismatch {
        column,
        found: "nothing, it is missing".into(),
    }
}

fn mistyped(column: &'static str, found: &dyn Array) -> Mismatch {
    Mismatch {
        column,
        found: format!("another type, {}", found.data_type()),
    }
}

fn named<T: Copy>(all: &[T], name: &str, name_of: impl Fn(T) -> &'static str) -> Option<T> {
    all.iter().copied().find(|value| name_of(*value) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_shown_in_part_and_without_control_characters() {
        assert_eq!(shown("\u{1b}[31mred\u{9b}"), "\\u{1b}[31mred\\u{9b}");
        assert_eq!(shown(&"x".repeat(1000)).len(), LONGEST_SHOWN);
    }
}
