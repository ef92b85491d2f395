//! Connections and losses ↔ their small Parquet tables.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, TimestampMicrosecondType, UInt8Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, PrimitiveArray, RecordBatch, StringArray, UInt32Array,
    UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;

use super::checksum::Checksum;
use super::folder::Folder;
use super::manifest::TableFile;
use super::schema::timestamp;
use crate::{Error, Result};
use membench_event::{Anchor, CloseSide, ConnectionRow, LossRow, Transport};

/// File name of the table of connections. Until the profile is sealed it holds those that are open.
pub(super) const CONNECTIONS: &str = "connections.parquet";
/// File name of the table of losses.
pub(super) const LOSSES: &str = "losses.parquet";

static CONNECTION_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("connection", DataType::UInt32, false),
        Field::new("server", DataType::UInt32, false),
        Field::new("client", DataType::UInt32, false),
        Field::new("transport", name_type(), false),
        Field::new("opened", timestamp(), true),
        Field::new("closed", timestamp(), true),
        Field::new("close_side", name_type(), true),
        Field::new("lost_bytes", DataType::UInt64, false),
        Field::new("resyncs", DataType::UInt32, false),
    ]))
});

static LOSS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("time", timestamp(), false),
        Field::new("connection", DataType::UInt32, true),
        Field::new("cause", name_type(), false),
        Field::new("bytes", DataType::UInt64, false),
    ]))
});

fn name_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

/// Returns the Arrow schema of the connection table.
pub fn connection_schema() -> SchemaRef {
    Arc::clone(&CONNECTION_SCHEMA)
}

/// Returns the Arrow schema of the loss table.
pub fn loss_schema() -> SchemaRef {
    Arc::clone(&LOSS_SCHEMA)
}

/// Converts connections to the columns of their table.
pub(super) fn connection_columns(rows: &[ConnectionRow], anchor: Anchor) -> Vec<ArrayRef> {
    vec![
        numbers(rows, |row| row.connection),
        numbers(rows, |row| row.server),
        numbers(rows, |row| row.client),
        coded(rows, &Transport::ALL.map(|(_, name)| name), |row| {
            Some(row.transport as u8)
        }),
        times(rows, anchor, |row| row.opened),
        times(rows, anchor, |row| row.closed),
        coded(rows, &CloseSide::ALL.map(|(_, name)| name), |row| {
            row.close_side.map(|side| side as u8)
        }),
        Arc::new(
            rows.iter()
                .map(|row| Some(row.lost_bytes))
                .collect::<UInt64Array>(),
        ),
        numbers(rows, |row| row.resyncs),
    ]
}

/// Converts losses to the columns of their table.
pub(super) fn loss_columns(rows: &[LossRow], anchor: Anchor) -> Vec<ArrayRef> {
    vec![
        times(rows, anchor, |row| Some(row.time)),
        Arc::new(
            rows.iter()
                .map(|row| row.connection)
                .collect::<UInt32Array>(),
        ),
        strings(rows, |row| Some(row.cause.as_str())),
        Arc::new(
            rows.iter()
                .map(|row| Some(row.bytes))
                .collect::<UInt64Array>(),
        ),
    ]
}

fn numbers<R>(rows: &[R], field: impl Fn(&R) -> u32) -> ArrayRef {
    Arc::new(
        rows.iter()
            .map(|row| Some(field(row)))
            .collect::<UInt32Array>(),
    )
}

/// A column of names, whose dictionary is the same in every batch: codes are indices of `names`.
fn coded<R>(rows: &[R], names: &[&str], field: impl Fn(&R) -> Option<u8>) -> ArrayRef {
    let codes: PrimitiveArray<UInt8Type> = rows.iter().map(field).collect();
    let names = StringArray::from_iter_values(names);
    Arc::new(DictionaryArray::new(codes, Arc::new(names)))
}

fn strings<'a, R>(rows: &'a [R], field: impl Fn(&'a R) -> Option<&'a str>) -> ArrayRef {
    Arc::new(
        rows.iter()
            .map(field)
            .collect::<DictionaryArray<UInt8Type>>(),
    )
}

fn times<R>(rows: &[R], anchor: Anchor, field: impl Fn(&R) -> Option<u64>) -> ArrayRef {
    let micros = |time| anchor.utc_ns(time).div_euclid(1000);
    let times = rows.iter().map(|row| field(row).map(micros));
    let times: PrimitiveArray<TimestampMicrosecondType> = times.collect();
    Arc::new(times.with_timezone("UTC"))
}

/// Writes a table atomically. Returns the description of its file.
pub(super) fn save(
    folder: &Folder,
    name: &str,
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
) -> Result<TableFile> {
    let content = parquet_in_memory(schema, columns).map_err(|source| Error::Parquet {
        path: folder.path().join(name),
        source,
    })?;
    folder.replace(name, &content)?;
    Ok(TableFile {
        name: name.into(),
        bytes: content.len() as u64,
        crc32: Checksum::of(&content),
    })
}

fn parquet_in_memory(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
) -> parquet::errors::Result<Vec<u8>> {
    let mut content = Vec::new();
    let batch = RecordBatch::try_new(Arc::clone(schema), columns)?;
    let mut writer = ArrowWriter::try_new(&mut content, Arc::clone(schema), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(content)
}

/// Parses a batch of the connection table. The error names the column that does not fit.
pub(super) fn connection_rows(
    batch: &RecordBatch,
    anchor: Anchor,
) -> std::result::Result<Vec<ConnectionRow>, &'static str> {
    let connection = column::<UInt32Type>(batch, "connection")?;
    let server = column::<UInt32Type>(batch, "server")?;
    let client = column::<UInt32Type>(batch, "client")?;
    let transport = name_column(batch, "transport")?;
    let opened = column::<TimestampMicrosecondType>(batch, "opened")?;
    let closed = column::<TimestampMicrosecondType>(batch, "closed")?;
    let side = name_column(batch, "close_side")?;
    let lost_bytes = column::<UInt64Type>(batch, "lost_bytes")?;
    let resyncs = column::<UInt32Type>(batch, "resyncs")?;
    (0..batch.num_rows())
        .map(|row| {
            Ok(ConnectionRow {
                connection: connection.value(row),
                server: server.value(row),
                client: client.value(row),
                transport: parse(&Transport::ALL, name(transport, row)).ok_or("transport")?,
                opened: value(opened, row).map(|time| anchor.monotonic_ns(time)),
                closed: value(closed, row).map(|time| anchor.monotonic_ns(time)),
                close_side: parse(&CloseSide::ALL, name(side, row)),
                lost_bytes: lost_bytes.value(row),
                resyncs: resyncs.value(row),
            })
        })
        .collect()
}

/// Parses a batch of the loss table. The error names the column that does not fit.
pub(super) fn loss_rows(
    batch: &RecordBatch,
    anchor: Anchor,
) -> std::result::Result<Vec<LossRow>, &'static str> {
    let time = column::<TimestampMicrosecondType>(batch, "time")?;
    let connection = column::<UInt32Type>(batch, "connection")?;
    let cause = name_column(batch, "cause")?;
    let bytes = column::<UInt64Type>(batch, "bytes")?;
    let rows = (0..batch.num_rows()).map(|row| LossRow {
        time: anchor.monotonic_ns(time.value(row)),
        connection: value(connection, row),
        cause: name(cause, row).unwrap_or_default().into(),
        bytes: bytes.value(row),
    });
    Ok(rows.collect())
}

fn column<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> std::result::Result<&'a PrimitiveArray<T>, &'static str> {
    let column = batch.column_by_name(name).ok_or(name)?;
    column.as_primitive_opt::<T>().ok_or(name)
}

fn name_column<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> std::result::Result<(&'a DictionaryArray<UInt8Type>, &'a StringArray), &'static str> {
    let column = batch.column_by_name(name).ok_or(name)?;
    let column = column.as_dictionary_opt::<UInt8Type>().ok_or(name)?;
    let values = column.values().as_string_opt::<i32>().ok_or(name)?;
    Ok((column, values))
}

fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

fn name<'a>(
    (column, values): (&'a DictionaryArray<UInt8Type>, &'a StringArray),
    row: usize,
) -> Option<&'a str> {
    column.key(row).map(|code| values.value(code))
}

fn parse<T: Copy>(known: &[(T, &str)], name: Option<&str>) -> Option<T> {
    let (value, _) = known.iter().find(|(_, known)| Some(*known) == name)?;
    Some(*value)
}
