//! An open part → sorted Parquet, a few columns at a time.
//!
//! Memory holds the order, the columns of one pass and the compressed output, never a whole part.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
};
use arrow_array::{
    AnyDictionaryArray, Array, ArrayRef, DictionaryArray, RecordBatch, UInt32Array, new_null_array,
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{ArrowError, DataType};
use arrow_select::concat::concat;
use arrow_select::take::take;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;

use super::checksum::{Checksum, Summed};
use super::encoding;
use super::manifest::{Counts, Part};
use super::schema;
use super::tail::{Tail, sealed_name};

/// Name under which events of an unseen outcome are counted.
pub(super) const UNKNOWN: &str = "unknown";

/// Columns loaded by one pass over an open part, which always reads all of it. They take fewer bytes per row than
/// [`Place`].
const TOGETHER: usize = 6;

/// Sort key of one event and its row in the open part. The row breaks ties, which keeps the keys of a multi-get in
/// order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: i64,
    connection: u32,
    batch: u32,
    request: u32,
    row: u32,
}

/// Writes an open part's events to `sink` as sorted Parquet. Returns `None`, and writes nothing, if there are none.
pub(super) fn seal<W: Write + Send>(tail: &Tail, sink: W) -> Result<Option<Part>> {
    let places = order(tail)?;
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return Ok(None);
    };
    let mut part = Part {
        name: sealed_name(tail.number),
        first_us: first.time.div_euclid(1000),
        last_us: last.time.div_euclid(1000),
        ..Part::default()
    };
    part.counts.events = places.len() as u64;
    part.counts.requests = requests(&places);
    let rows = UInt32Array::from_iter_values(places.iter().map(|place| place.row));
    drop(places);
    let (bytes, checksum) = write(tail, &rows, sink, &mut part.counts)?;
    part.bytes = bytes;
    part.crc32 = Some(checksum);
    Ok(Some(part))
}

fn order(tail: &Tail) -> Result<Vec<Place>> {
    let fields = schema::part_schema();
    let mut columns = vec![fields.index_of(schema::REMAINDER)?];
    for name in schema::ORDER {
        columns.push(fields.index_of(name)?);
    }
    columns.sort_unstable();
    let mut places = Vec::new();
    for batch in tail.batches(&columns)?.into_iter().flatten() {
        append_places(&mut places, &batch?)?;
    }
    places.sort_unstable();
    Ok(places)
}

fn append_places(places: &mut Vec<Place>, batch: &RecordBatch) -> Result<()> {
    let time = typed::<TimestampMicrosecondType>(batch, 0)?;
    let connection = typed::<UInt32Type>(batch, 1)?;
    let order = typed::<UInt32Type>(batch, 2)?;
    let request = typed::<UInt32Type>(batch, 3)?;
    let remainder = typed::<UInt16Type>(batch, 4)?;
    let start = places.len();
    // Exact: doubling would cost more memory than anything else here.
    places.reserve_exact(batch.num_rows());
    for row in 0..batch.num_rows() {
        let overflow = |_| ArrowError::InvalidArgumentError("too many events in a part".into());
        places.push(Place {
            time: time[row].wrapping_mul(1000) + i64::from(remainder[row]),
            connection: connection[row],
            batch: order[row],
            request: request[row],
            row: u32::try_from(start + row).map_err(overflow)?,
        });
    }
    Ok(())
}

fn typed<T: arrow_array::types::ArrowPrimitiveType>(
    batch: &RecordBatch,
    index: usize,
) -> Result<&[T::Native]> {
    batch
        .columns()
        .get(index)
        .and_then(|column| column.as_primitive_opt::<T>())
        .map(|column| &column.values()[..])
        .ok_or_else(|| ParquetError::General(format!("column {index} has another type")))
}

/// Counts the requests of sorted events, among which those of one multi-get are adjacent.
fn requests(places: &[Place]) -> u64 {
    let same = |pair: &&[Place]| {
        (pair[0].connection, pair[0].request) == (pair[1].connection, pair[1].request)
    };
    places.len() as u64 - places.windows(2).filter(same).count() as u64
}

fn write<W: Write + Send>(
    tail: &Tail,
    rows: &UInt32Array,
    sink: W,
    counts: &mut Counts,
) -> Result<(u64, Checksum)> {
    let fields = schema::schema();
    let mut properties = encoding::properties();
    add_encoded_arrow_schema_to_metadata(&fields, &mut properties);
    let root = ArrowSchemaConverter::new()
        .convert(&fields)?
        .root_schema_ptr();
    let mut file = SerializedFileWriter::new(Summed::new(sink), root, Arc::new(properties))?;
    let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&fields));
    let groups = rows.len().div_ceil(encoding::ROW_GROUP);
    let mut writers = (0..groups)
        .map(|group| Ok(factory.create_column_writers(group)?.into_iter()))
        .collect::<Result<Vec<_>>>()?;
    let mut chunks: Vec<Vec<ArrowColumnChunk>> = (0..groups).map(|_| Vec::new()).collect();
    let columns: Vec<usize> = (0..fields.fields().len()).collect();
    for together in columns.chunks(TOGETHER) {
        for (index, pieces) in together.iter().zip(load_columns(tail, together)?) {
            let column = sorted(*index, pieces, rows)?;
            count(counts, fields.field(*index).name(), &column);
            for (group, chunks) in chunks.iter_mut().enumerate() {
                let Some(writer) = writers[group].next() else {
                    return Err(ParquetError::General("a column without a writer".into()));
                };
                let start = group * encoding::ROW_GROUP;
                let length = encoding::ROW_GROUP.min(rows.len() - start);
                chunks.push(encode(writer, *index, &column.slice(start, length))?);
            }
        }
    }
    for group in chunks {
        let mut writer = file.next_row_group()?;
        for chunk in group {
            chunk.append_to_row_group(&mut writer)?;
        }
        writer.close()?;
    }
    file.finish()?;
    Ok(file.inner().sums())
}

fn encode(
    mut writer: ArrowColumnWriter,
    index: usize,
    column: &ArrayRef,
) -> Result<ArrowColumnChunk> {
    let fields = schema::schema();
    for leaf in compute_leaves(fields.field(index), column)? {
        writer.write(&leaf)?;
    }
    writer.close()
}

/// Loads columns, each as the pieces in which it was written.
fn load_columns(tail: &Tail, indices: &[usize]) -> Result<Vec<Vec<ArrayRef>>> {
    let mut columns = vec![Vec::new(); indices.len()];
    for batch in tail.batches(indices)?.into_iter().flatten() {
        for (pieces, column) in columns.iter_mut().zip(batch?.columns()) {
            pieces.push(Arc::clone(column));
        }
    }
    Ok(columns)
}

fn sorted(index: usize, pieces: Vec<ArrayRef>, rows: &UInt32Array) -> Result<ArrayRef> {
    if pieces.iter().all(|piece| piece.null_count() == piece.len()) {
        let kind = schema::schema().field(index).data_type().clone();
        return Ok(new_null_array(&kind, rows.len()));
    }
    gather(pieces, rows)
}

/// Gathers rows from all pieces. Dictionaries of one part only grow, so the last one serves every piece.
fn gather(arrays: Vec<ArrayRef>, rows: &UInt32Array) -> Result<ArrayRef> {
    let values = arrays
        .last()
        .and_then(|array| array.as_any_dictionary_opt())
        .map(|dictionary| Arc::clone(dictionary.values()));
    let pieces: Vec<&dyn Array> = arrays
        .iter()
        .map(|array| {
            let dictionary = array.as_any_dictionary_opt();
            dictionary.map_or(array.as_ref(), AnyDictionaryArray::keys)
        })
        .collect();
    let joined = concat(&pieces)?;
    drop(arrays);
    let taken = take(&joined, rows, None)?;
    match values {
        Some(values) => with_names(&taken, values),
        None => Ok(taken),
    }
}

fn with_names(codes: &ArrayRef, values: ArrayRef) -> Result<ArrayRef> {
    if let Some(codes) = codes.as_primitive_opt::<UInt8Type>() {
        return Ok(Arc::new(DictionaryArray::try_new(codes.clone(), values)?));
    }
    let codes = codes
        .as_primitive_opt::<UInt16Type>()
        .ok_or_else(|| ParquetError::General("a dictionary of another type".into()))?;
    Ok(Arc::new(DictionaryArray::try_new(codes.clone(), values)?))
}

/// Adds the names of a column to `counts` if it is one of the counted columns.
pub(super) fn count(counts: &mut Counts, name: &str, column: &ArrayRef) {
    let names = match name {
        "command" => &mut counts.commands,
        "outcome" => &mut counts.outcomes,
        "options" => &mut counts.options,
        _ => return,
    };
    count_names(names, column);
}

fn count_names(names: &mut BTreeMap<String, u64>, column: &ArrayRef) {
    let mut add = |name: &str, count: u64| {
        if count > 0 {
            *names.entry(name.into()).or_default() += count;
        }
    };
    add(UNKNOWN, column.null_count() as u64);
    let Some(dictionary) = column.as_any_dictionary_opt() else {
        return;
    };
    let Some(values) = dictionary.values().as_string_opt::<i32>() else {
        return;
    };
    let mut tally = vec![0_u64; values.len()];
    let keys = dictionary.keys();
    match keys.data_type() {
        DataType::UInt8 => count_codes::<UInt8Type>(keys, &mut tally),
        DataType::UInt16 => count_codes::<UInt16Type>(keys, &mut tally),
        DataType::Int64 => count_codes::<Int64Type>(keys, &mut tally),
        _ => {}
    }
    for (value, count) in values.iter().zip(tally) {
        add(value.unwrap_or_default(), count);
    }
}

fn count_codes<T: ArrowDictionaryKeyType>(keys: &dyn Array, tally: &mut [u64]) {
    for code in keys.as_primitive::<T>().iter().flatten() {
        if let Some(tally) = tally.get_mut(code.as_usize()) {
            *tally += 1;
        }
    }
}
