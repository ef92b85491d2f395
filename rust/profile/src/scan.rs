//! A sealed part missing from the manifest → its description; any part → its connections.

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, UInt32Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::Length;

use super::content::Content;
use super::events::UNREADABLE;
use super::guarded::guarded;
use super::manifest::Part;
use super::ordinals::Ordinals;
use super::pages::{self, PART_ROWS};
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
    let checksum = content.checksum().map_err(|source| Error::Io {
        path: path.into(),
        source,
    })?;
    part.crc32 = Some(checksum);
    pages::check(content, PART_ROWS).map_err(|found| Error::Damaged {
        path: path.into(),
        found,
    })?;
    let mut last = None;
    for_each(path, content, &COUNTED, |batch| {
        describe(&mut part, &mut last, batch);
    })?;
    if part.first_us > part.last_us {
        return Err(Error::Damaged {
            path: path.into(),
            found: "it has no events".into(),
        });
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
pub(super) fn connections(part: &ReadablePart, seen: &mut Ordinals) -> Result<()> {
    for_each(&part.path, &part.source.open()?, &["connection"], |batch| {
        seen.extend(numbers(batch, "connection").into_iter().flatten().copied());
    })
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a [u32]> {
    let column = batch
        .column_by_name(name)?
        .as_primitive_opt::<UInt32Type>()?;
    Some(column.values())
}

/// Calls `take` with the named columns of a part, batch by batch.
fn for_each(
    path: &Path,
    content: &Content,
    names: &[&str],
    mut take: impl FnMut(&RecordBatch),
) -> Result<()> {
    let damaged = || Error::Damaged {
        path: path.into(),
        found: UNREADABLE.into(),
    };
    let open = || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(content.clone())?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        builder
            .with_projection(mask)
            .with_batch_size(1 << 16)
            .build()
    };
    let mut batches = guarded(open)
        .ok_or_else(damaged)?
        .map_err(|source| Error::Parquet {
            path: path.into(),
            source,
        })?;
    while let Some(batch) = guarded(|| batches.next()).ok_or_else(damaged)? {
        take(&batch.map_err(|source| Error::Arrow {
            path: path.into(),
            source,
        })?);
    }
    Ok(())
}
