//! Events → record batches of an open part.

use std::sync::Arc;

use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Int32Type, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, DictionaryArray, PrimitiveArray, RecordBatch, StringArray, new_null_array,
};
use arrow_schema::{ArrowError, DataType};

use super::manifest::Anchor;
use super::schema;
use crate::event::{Command, Event, OptionsTable, Outcome, Protocol};
use crate::{Error, Result};

/// Events as a batch of a profile's schema, with no part to be written to.
pub fn record_batch(
    events: &[Event],
    options: &OptionsTable,
    anchor: Anchor,
) -> Result<RecordBatch> {
    let whole = Encoder::new(anchor).batch(events, options);
    let columns: Vec<usize> = (0..schema::schema().fields().len()).collect();
    whole
        .and_then(|batch| batch.project(&columns))
        .map_err(|source| Error::Arrow {
            path: "a batch".into(),
            source,
        })
}

/// Turns events into batches; its dictionaries are made once, and again only when the options grow.
pub(super) struct Encoder {
    anchor: Anchor,
    commands: ArrayRef,
    protocols: ArrayRef,
    outcomes: ArrayRef,
    options: ArrayRef,
    namespace: DataType,
}

impl Encoder {
    pub(super) fn new(anchor: Anchor) -> Self {
        Self {
            anchor,
            commands: names(Command::ALL.iter().map(|command| command.name())),
            protocols: names(Protocol::ALL.iter().map(|protocol| protocol.name())),
            outcomes: names(Outcome::ALL.iter().map(|outcome| outcome.name())),
            options: names([""]),
            namespace: DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)),
        }
    }

    /// The events as a batch of an open part's schema. `options` is the capture's one table, which only ever grows.
    pub(super) fn batch(
        &mut self,
        events: &[Event],
        options: &OptionsTable,
    ) -> std::result::Result<RecordBatch, ArrowError> {
        if self.options.len() != options.names().len() {
            self.options = names(options.names().iter().map(AsRef::as_ref));
        }
        RecordBatch::try_new(schema::part_schema(), self.columns(events)?)
    }

    fn columns(&self, events: &[Event]) -> std::result::Result<Vec<ArrayRef>, ArrowError> {
        let times: Vec<i64> = events
            .iter()
            .map(|event| self.anchor.utc_ns(event.time))
            .collect();
        let micros = times.iter().map(|time| time.div_euclid(1000));
        Ok(vec![
            Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(micros)
                    .with_timezone("UTC"),
            ),
            given::<UInt32Type>(events, |event| event.connection),
            given::<UInt32Type>(events, |event| event.batch),
            given::<UInt32Type>(events, |event| event.request),
            coded::<UInt8Type>(events, &self.commands, |event| Some(event.command as u8))?,
            coded::<UInt8Type>(events, &self.protocols, |event| Some(event.protocol as u8))?,
            nullable::<UInt64Type>(events, |event| event.key),
            nullable::<UInt8Type>(events, |event| event.key_size),
            nullable::<UInt32Type>(events, |event| event.value_size),
            nullable::<UInt32Type>(events, |event| event.request_size),
            nullable::<Int32Type>(events, |event| event.ttl),
            nullable::<UInt32Type>(events, |event| event.flags),
            nullable::<UInt32Type>(events, |event| event.cas),
            nullable::<UInt64Type>(events, |event| event.delta),
            nullable::<UInt64Type>(events, |event| event.initial),
            nullable::<Int32Type>(events, |event| event.vivify_ttl),
            nullable::<Int32Type>(events, |event| event.recache_ttl),
            nullable::<UInt8Type>(events, |event| event.opaque_size),
            coded::<UInt16Type>(events, &self.options, |event| Some(event.options.0))?,
            coded::<UInt8Type>(events, &self.outcomes, |event| {
                event.outcome.map(|outcome| outcome as u8)
            })?,
            nullable::<UInt32Type>(events, |event| event.server_time),
            nullable::<UInt32Type>(events, |event| event.queue_time),
            new_null_array(&self.namespace, events.len()),
            Arc::new(PrimitiveArray::<UInt16Type>::from_iter_values(
                times.iter().map(|time| remainder(*time)),
            )),
        ])
    }
}

/// What microseconds leave over of a time in ns.
fn remainder(time: i64) -> u16 {
    u16::try_from(time.rem_euclid(1000)).expect("a remainder of 1000 fits")
}

fn names<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn given<T: ArrowPrimitiveType>(events: &[Event], of: impl Fn(&Event) -> T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(events.iter().map(of)))
}

fn nullable<T: ArrowPrimitiveType>(
    events: &[Event],
    of: impl Fn(&Event) -> Option<T::Native>,
) -> ArrayRef {
    // Most of these columns are mostly empty.
    if events.iter().all(|event| of(event).is_none()) {
        return Arc::new(PrimitiveArray::<T>::new_null(events.len()));
    }
    Arc::new(events.iter().map(of).collect::<PrimitiveArray<T>>())
}

fn coded<T: ArrowDictionaryKeyType>(
    events: &[Event],
    values: &ArrayRef,
    of: impl Fn(&Event) -> Option<T::Native>,
) -> std::result::Result<ArrayRef, ArrowError> {
    let codes = events.iter().map(of).collect::<PrimitiveArray<T>>();
    let names = DictionaryArray::<T>::try_new(codes, Arc::clone(values))?;
    Ok(Arc::new(names))
}
