//! A sealed part missing from the manifest → its description; any part → its connections.

use std::collections::HashSet;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, UInt32Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::Length;

use super::content::Content;
use super::manifest::Part;
use super::part::ReadablePart;
use super::seal::count;
use crate::{Error, Result};

const COUNTED: [&str; 6] = [
    "time",
    "connection",
    "request",
    "command",
    "options",
    "outcome",
];

/// Describes a part by reading its counted columns.
pub(super) fn part(name: &str, path: &Path, content: &Content) -> Result<Part> {
    let mut part = Part {
        name: name.into(),
        first_us: i64::MAX,
        last_us: i64::MIN,
        bytes: content.len(),
        ..Part::default()
    };
    let mut last = None;
    for batch in columns(path, content, &COUNTED)? {
        let batch = batch.map_err(|source| Error::Arrow {
            path: path.into(),
            source,
        })?;
        describe(&mut part, &mut last, &batch);
    }
    Ok(part)
}

fn describe(part: &mut Part, last: &mut Option<(u32, u32)>, batch: &RecordBatch) {
    part.counts.events += batch.num_rows() as u64;
    for field in batch.schema().fields() {
        if let Some(column) = batch.column_by_name(field.name()) {
            count(&mut part.counts, field.name(), column);
        }
    }
    let time = batch.column_by_name("time");
    if let Some(time) = time.and_then(|time| time.as_primitive_opt::<TimestampMicrosecondType>()) {
        for time in time.values() {
            part.first_us = part.first_us.min(*time);
            part.last_us = part.last_us.max(*time);
        }
    }
    if let (Some(connections), Some(requests)) =
        (numbers(batch, "connection"), numbers(batch, "request"))
    {
        for request in connections.iter().zip(requests) {
            let request = Some((*request.0, *request.1));
            part.counts.requests += u64::from(*last != request);
            *last = request;
        }
    }
}

/// Adds the connections of a part to `seen`.
pub(super) fn connections(part: &ReadablePart, seen: &mut HashSet<u32>) -> Result<()> {
    for batch in columns(&part.path, &part.content, &["connection"])? {
        let batch = batch.map_err(|source| Error::Arrow {
            path: part.path.clone(),
            source,
        })?;
        seen.extend(numbers(&batch, "connection").unwrap_or_default());
    }
    Ok(())
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a [u32]> {
    let column = batch
        .column_by_name(name)?
        .as_primitive_opt::<UInt32Type>()?;
    Some(column.values())
}

fn columns(path: &Path, content: &Content, names: &[&str]) -> Result<ParquetRecordBatchReader> {
    let open = || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(content.clone())?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        builder
            .with_projection(mask)
            .with_batch_size(1 << 16)
            .build()
    };
    open().map_err(|source| Error::Parquet {
        path: path.into(),
        source,
    })
}
