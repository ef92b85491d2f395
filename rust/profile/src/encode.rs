//! Events → record batches of an open part.

use std::mem;
use std::sync::Arc;

use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Int32Type, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::ArrowError;

use super::schema;
use crate::{Error, Result};
use membench_event::Anchor;
use membench_event::{Command, Event, OptionsTable, Outcome, Protocol};

/// Events that are copied column by column at a time: few enough to stay in the L1 cache while all columns read them.
const STRETCH: usize = 128;

/// Converts events to a record batch of a profile's schema, without writing them anywhere.
pub fn record_batch(
    events: &[Event],
    options: &OptionsTable,
    anchor: Anchor,
) -> Result<RecordBatch> {
    let mut encoder = Encoder::new(anchor);
    encoder.extend(events);
    let columns: Vec<usize> = (0..schema::schema().fields().len()).collect();
    encoder
        .batch(options)
        .and_then(|batch| batch.project(&columns))
        .map_err(|source| Error::Arrow {
            path: "a batch".into(),
            source,
        })
}

/// Collects events into record batches. Builds its dictionaries once; only that of the options is rebuilt as they grow.
pub(super) struct Encoder {
    anchor: Anchor,
    commands: ArrayRef,
    protocols: ArrayRef,
    outcomes: ArrayRef,
    options: ArrayRef,
    columns: Columns,
}

impl Encoder {
    pub(super) fn new(anchor: Anchor) -> Self {
        Self {
            anchor,
            commands: names(Command::ALL.iter().map(|command| command.name())),
            protocols: names(Protocol::ALL.iter().map(|protocol| protocol.name())),
            outcomes: names(Outcome::ALL.iter().map(|outcome| outcome.name())),
            options: names([""]),
            columns: Columns::default(),
        }
    }

    /// Adds events to the next batch.
    pub(super) fn extend(&mut self, events: &[Event]) {
        for stretch in events.chunks(STRETCH) {
            self.columns.extend(stretch, self.anchor);
        }
    }

    /// Number of events collected for the next batch.
    pub(super) fn len(&self) -> usize {
        self.columns.micros.len()
    }

    /// Returns the events collected since the last batch, in the schema of an open part. `options` must be the
    /// capture's one table, which only ever grows.
    pub(super) fn batch(
        &mut self,
        options: &OptionsTable,
    ) -> std::result::Result<RecordBatch, ArrowError> {
        if self.options.len() != options.names().len() {
            self.options = names(options.names().iter().map(AsRef::as_ref));
        }
        let columns = &mut self.columns;
        let columns = vec![
            Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::from(emptied(&mut columns.micros))
                    .with_timezone("UTC"),
            ),
            required::<UInt32Type>(&mut columns.connection),
            required::<UInt32Type>(&mut columns.batch),
            required::<UInt32Type>(&mut columns.request),
            coded(columns.command.array(), &self.commands)?,
            coded(columns.protocol.array(), &self.protocols)?,
            columns.key.column(),
            columns.key_size.column(),
            columns.value_size.column(),
            columns.request_size.column(),
            columns.ttl.column(),
            columns.flags.column(),
            columns.cas.column(),
            columns.delta_size.column(),
            columns.initial_size.column(),
            columns.vivify_ttl.column(),
            columns.recache_ttl.column(),
            columns.opaque_size.column(),
            coded(columns.options.array(), &self.options)?,
            coded(columns.outcome.array(), &self.outcomes)?,
            columns.server_time.column(),
            columns.queue_time.column(),
            required::<UInt16Type>(&mut columns.remainder),
        ];
        RecordBatch::try_new(schema::part_schema(), columns)
    }
}

/// The columns of the next batch.
#[derive(Default)]
struct Columns {
    micros: Vec<i64>,
    remainder: Vec<u16>,
    connection: Vec<u32>,
    batch: Vec<u32>,
    request: Vec<u32>,
    command: Column<UInt8Type>,
    protocol: Column<UInt8Type>,
    key: Column<UInt64Type>,
    key_size: Column<UInt8Type>,
    value_size: Column<UInt32Type>,
    request_size: Column<UInt32Type>,
    ttl: Column<Int32Type>,
    flags: Column<UInt32Type>,
    cas: Column<UInt32Type>,
    delta_size: Column<UInt8Type>,
    initial_size: Column<UInt8Type>,
    vivify_ttl: Column<Int32Type>,
    recache_ttl: Column<Int32Type>,
    opaque_size: Column<UInt8Type>,
    options: Column<UInt16Type>,
    outcome: Column<UInt8Type>,
    server_time: Column<UInt64Type>,
    queue_time: Column<UInt64Type>,
}

impl Columns {
    fn extend(&mut self, events: &[Event], anchor: Anchor) {
        for event in events {
            let time = anchor.utc_ns(event.time);
            self.micros.push(time.div_euclid(1000));
            self.remainder.push(remainder(time));
        }
        self.connection
            .extend(events.iter().map(|event| event.connection));
        self.batch.extend(events.iter().map(|event| event.batch));
        self.request
            .extend(events.iter().map(|event| event.request));
        self.command
            .extend(events, |event| Some(event.command as u8));
        self.protocol
            .extend(events, |event| Some(event.protocol as u8));
        self.key.extend(events, |event| event.key);
        self.key_size.extend(events, |event| event.key_size);
        self.value_size.extend(events, |event| event.value_size);
        self.request_size.extend(events, |event| event.request_size);
        self.ttl.extend(events, |event| event.ttl);
        self.flags.extend(events, |event| event.flags);
        self.cas.extend(events, |event| event.cas);
        self.delta_size.extend(events, |event| event.delta_size);
        self.initial_size.extend(events, |event| event.initial_size);
        self.vivify_ttl.extend(events, |event| event.vivify_ttl);
        self.recache_ttl.extend(events, |event| event.recache_ttl);
        self.opaque_size.extend(events, |event| event.opaque_size);
        self.options.extend(events, |event| Some(event.options.0));
        self.outcome
            .extend(events, |event| event.outcome.map(|outcome| outcome as u8));
        self.server_time.extend(events, |event| event.server_time);
        self.queue_time.extend(events, |event| event.queue_time);
    }
}

/// A nullable column.
struct Column<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    valid: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Default for Column<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            valid: NullBufferBuilder::new(0),
        }
    }
}

impl<T: ArrowPrimitiveType> Column<T> {
    fn extend(&mut self, events: &[Event], field: impl Fn(&Event) -> Option<T::Native>) {
        let values = events.iter().map(|event| field(event).unwrap_or_default());
        self.values.extend(values);
        let known = events.iter().filter(|event| field(event).is_some()).count();
        if known == events.len() {
            self.valid.append_n_non_nulls(known);
        } else if known == 0 {
            self.valid.append_n_nulls(events.len());
        } else {
            for event in events {
                self.valid.append(field(event).is_some());
            }
        }
    }

    fn array(&mut self) -> PrimitiveArray<T> {
        PrimitiveArray::new(emptied(&mut self.values).into(), self.valid.finish())
    }

    fn column(&mut self) -> ArrayRef {
        Arc::new(self.array())
    }
}

/// Takes the values out of a column and leaves it capacity for as many.
fn emptied<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    mem::replace(values, room)
}

/// Nanoseconds of a time beyond its whole microsecond.
fn remainder(time: i64) -> u16 {
    u16::try_from(time.rem_euclid(1000)).expect("a remainder of 1000 fits")
}

fn names<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn required<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(emptied(values).into(), None))
}

fn coded<T: ArrowDictionaryKeyType>(
    codes: PrimitiveArray<T>,
    values: &ArrayRef,
) -> std::result::Result<ArrayRef, ArrowError> {
    let names = DictionaryArray::<T>::try_new(codes, Arc::clone(values))?;
    Ok(Arc::new(names))
}
