//! Connections and losses ↔ their small Parquet tables.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, TimestampMicrosecondType, UInt8Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::{concat::concat_batches, filter::filter_record_batch, take::take_record_batch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

use super::folder::Folder;
use super::schema::timestamp;
use super::tail::Tail;
use super::writer::parquet_failed;
use crate::{Error, Result};
use membench_event::{Anchor, CloseSide, ConnectionRow, LossRow, Transport};

/// File name of the table of connections. Until the profile is sealed it holds those that are open.
pub(super) const CONNECTIONS: &str = "connections.parquet";
/// File name of the connections that have ended, until the profile is sealed.
pub(super) const ENDED_CONNECTIONS: &str = "connections.arrows.part";
/// Rows that are encoded before they are written.
const ROW_GROUP: usize = 1 << 17;
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

/// Converts connections to a batch of their table.
pub(super) fn connection_batch(
    rows: &[ConnectionRow],
    anchor: Anchor,
) -> std::result::Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(connection_schema(), connection_columns(rows, anchor))
}

fn connection_columns(rows: &[ConnectionRow], anchor: Anchor) -> Vec<ArrayRef> {
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

/// Replaces the table of the connections that are open. The disk is not waited for: the next one follows soon.
pub(super) fn save_open_connections(
    folder: &Folder,
    rows: &[ConnectionRow],
    anchor: Anchor,
) -> Result<()> {
    let columns = connection_columns(rows, anchor);
    let content = parquet_in_memory(&connection_schema(), columns);
    let content = content.map_err(|source| parquet_failed(folder, CONNECTIONS, source))?;
    folder.replace_lazily(CONNECTIONS, &content)
}

/// Writes a table atomically.
pub(super) fn save(
    folder: &Folder,
    name: &str,
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
) -> Result<()> {
    let content = parquet_in_memory(schema, columns).map_err(|source| Error::Parquet {
        path: folder.path().join(name),
        source,
    })?;
    folder.replace(name, &content)
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

/// Writes the connections that `ended` holds, then the `open` ones, as the table of a sealed profile.
pub(super) fn seal_connections(
    folder: &Folder,
    ended: Option<&Tail>,
    open: &[RecordBatch],
) -> Result<()> {
    let draft = format!("{CONNECTIONS}.tmp");
    let file = folder.create_file(&draft)?;
    let failed = |source| parquet_failed(folder, &draft, source);
    let copy = file
        .try_clone()
        .map_err(|source| folder.failed(&draft, source))?;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP));
    let mut writer = ArrowWriter::try_new(copy, connection_schema(), Some(properties.build()))
        .map_err(failed)?;
    if let Some(ended) = ended {
        for batch in ended.rows(folder, ENDED_CONNECTIONS)? {
            writer.write(&batch?).map_err(failed)?;
        }
    }
    for batch in open {
        writer.write(batch).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    folder.publish(&file, &draft, CONNECTIONS)?;
    folder.remove(ENDED_CONNECTIONS)
}

/// Opens the connections that have ended, if the profile is not sealed.
pub(super) fn open_ended(folder: &Folder) -> Result<Option<Tail>> {
    let Some(file) = folder.open_file(ENDED_CONNECTIONS)? else {
        return Ok(None);
    };
    Tail::open_named(folder, ENDED_CONNECTIONS, 0, file).map(Some)
}

/// Reads the connections of the table of open ones that did not end afterwards.
pub(super) fn load_open(folder: &Folder, ended: Option<&Tail>) -> Result<Vec<RecordBatch>> {
    let open = load(folder, CONNECTIONS)?.unwrap_or_default();
    let Some(ended) = ended else {
        return Ok(open);
    };
    let mut still_open: HashSet<u32> = open.iter().flat_map(ordinals).collect();
    for batch in ended.rows(folder, ENDED_CONNECTIONS)? {
        for ordinal in ordinals(&batch?) {
            still_open.remove(&ordinal);
        }
    }
    let rest = open.iter().map(|batch| {
        let is_open = ordinals(batch).into_iter();
        let is_open: BooleanArray = is_open
            .map(|ordinal| Some(still_open.contains(&ordinal)))
            .collect();
        filter_record_batch(batch, &is_open)
    });
    rest.collect::<std::result::Result<_, _>>()
        .map_err(|source| Error::Arrow {
            path: folder.path().join(CONNECTIONS),
            source,
        })
}

/// Reads all connections, by their ordinals.
pub(super) fn load_connections(folder: &Folder) -> Result<Vec<RecordBatch>> {
    let ended = open_ended(folder)?;
    let mut all = Vec::new();
    if let Some(ended) = &ended {
        for batch in ended.rows(folder, ENDED_CONNECTIONS)? {
            all.push(batch?);
        }
    }
    all.extend(load_open(folder, ended.as_ref())?);
    if all.is_empty() {
        return Ok(all);
    }
    let sorted = concat_batches(&all[0].schema(), &all).and_then(|all| {
        let ordinals = ordinals(&all);
        let mut order: Vec<u32> = (0..).take(ordinals.len()).collect();
        order.sort_by_key(|row| ordinals[*row as usize]);
        take_record_batch(&all, &UInt32Array::from(order))
    });
    sorted
        .map(|sorted| vec![sorted])
        .map_err(|source| Error::Arrow {
            path: folder.path().join(CONNECTIONS),
            source,
        })
}

/// Ordinals of the connections of a batch; empty if it has none.
fn ordinals(batch: &RecordBatch) -> Vec<u32> {
    column::<UInt32Type>(batch, "connection")
        .map_or_else(|_| Vec::new(), |column| column.values().to_vec())
}

/// Reads a table; `None` if it was never written.
pub(super) fn load(folder: &Folder, name: &str) -> Result<Option<Vec<RecordBatch>>> {
    // A power failure may leave it empty while the profile is being recorded.
    let Some(content) = folder.read(name)?.filter(|content| !content.is_empty()) else {
        return Ok(None);
    };
    let path = folder.path().join(name);
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(content))
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|source| Error::Parquet {
            path: path.clone(),
            source,
        })?;
    let batches = reader.collect::<std::result::Result<_, _>>();
    batches
        .map(Some)
        .map_err(|source| Error::Arrow { path, source })
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
