//! Parts → one stream of events in order, or record batches part by part.

use std::path::PathBuf;
use std::vec;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::content::Content;
use super::decode::{Columns, Mismatch};
use super::guarded::guarded;
use super::part::ReadablePart;
use super::schema::{past_schemas, present, schema};
use crate::{Error, Result};
use membench_event::Anchor;
use membench_event::{Event, OptionsTable};

/// Rows decoded at a time while merging parts.
const MERGED_ROWS: usize = 1 << 13;
/// Most parts that are held open while they are merged. Few overlap; beyond these, a file is opened for each read, so that
/// no profile has more of them than a process may open.
const MOST_OPEN: usize = 16;
/// Rows of each batch that [`Batches`] returns.
const BATCH_ROWS: usize = 1 << 16;

/// Most events of one request: readers hold them all at once.
const MOST_KEYS: u32 = 1 << 20;

/// Description of bytes on which the reader of Parquet panics.
pub(super) const UNREADABLE: &str = "bytes that cannot be read";

/// Iterator over every event of a profile, ordered by (time, connection, batch, request).
pub struct Events {
    /// Parts not opened yet, ordered by their first time.
    later: vec::IntoIter<ReadablePart>,
    /// Open parts, whose time ranges overlap at the current position; usually one.
    current: Vec<PartEvents>,
    anchor: Anchor,
    options: OptionsTable,
    /// Connection and ordinal of the current request, and its events so far.
    request: Option<(u32, u32)>,
    keys: u32,
    most_keys: u32,
}

/// A part being read, positioned at an event.
struct PartEvents {
    path: PathBuf,
    reader: PartReader,
    columns: Columns,
    row: usize,
}

impl Events {
    /// Merges parts, which must be sorted by their first time.
    pub(super) fn new(parts: Vec<ReadablePart>, anchor: Anchor, options: OptionsTable) -> Self {
        Self {
            later: parts.into_iter(),
            current: Vec::new(),
            anchor,
            options,
            request: None,
            keys: 0,
            most_keys: MOST_KEYS,
        }
    }

    /// Sets the most events of one request.
    #[cfg(test)]
    pub(super) fn with_most_keys(self, most_keys: u32) -> Self {
        Self { most_keys, ..self }
    }

    fn next_event(&mut self) -> Result<Option<Event>> {
        self.open_reached()?;
        let Some(index) = self.earliest() else {
            return Ok(None);
        };
        let part = &mut self.current[index];
        let event = part.columns.event(part.row).ok_or_else(|| Error::Column {
            path: part.path.clone(),
            column: "command, protocol or options",
            found: "null".into(),
        })?;
        part.row += 1;
        let request = (event.connection, event.request);
        self.keys = if self.request.replace(request) == Some(request) {
            self.keys + 1
        } else {
            1
        };
        if self.keys > self.most_keys {
            return Err(Error::Damaged {
                path: part.path.clone(),
                found: format!("a request with more than {} keys", self.most_keys),
            });
        }
        if part.row == part.columns.rows() && !part.next_batch(self.anchor, &mut self.options)? {
            self.current.swap_remove(index);
        }
        Ok(Some(event))
    }

    /// Opens every part that starts no later than the earliest event of the open parts.
    fn open_reached(&mut self) -> Result<()> {
        while let Some(part) = self.later.as_slice().first() {
            let reached = self
                .earliest()
                .is_none_or(|index| self.current[index].place().0 >= part.description.first_us);
            if !reached {
                break;
            }
            if let Some(part) = self.later.next() {
                let content = if self.current.len() < MOST_OPEN {
                    part.source.open()?
                } else {
                    part.source.open_closed()?
                };
                let events = PartEvents::open(&part, &content, self.anchor, &mut self.options)?;
                self.current.extend(events);
            }
        }
        Ok(())
    }

    fn earliest(&self) -> Option<usize> {
        if self.current.len() == 1 {
            return Some(0);
        }
        (0..self.current.len()).min_by_key(|index| self.current[*index].place())
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.next_event();
        if result.is_err() {
            // Events after an error would follow a gap.
            self.current.clear();
            self.later = Vec::new().into_iter();
        }
        result.transpose()
    }
}

impl PartEvents {
    fn open(
        part: &ReadablePart,
        content: &Content,
        anchor: Anchor,
        options: &mut OptionsTable,
    ) -> Result<Option<Self>> {
        let path = part.path.clone();
        let mut reader = reader(part, content, MERGED_ROWS)?;
        let Some(columns) = next_columns(&path, &mut reader, anchor, options)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            path,
            reader,
            columns,
            row: 0,
        }))
    }

    fn place(&self) -> (i64, u32, u32, u32) {
        self.columns.place(self.row)
    }

    fn next_batch(&mut self, anchor: Anchor, options: &mut OptionsTable) -> Result<bool> {
        let Some(columns) = next_columns(&self.path, &mut self.reader, anchor, options)? else {
            return Ok(false);
        };
        self.columns = columns;
        self.row = 0;
        Ok(true)
    }
}

/// Returns the next batch that contains events.
fn next_columns(
    path: &std::path::Path,
    reader: &mut PartReader,
    anchor: Anchor,
    options: &mut OptionsTable,
) -> Result<Option<Columns>> {
    for batch in reader {
        let batch = batch.map_err(|source| Error::Arrow {
            path: path.into(),
            source,
        })?;
        let columns = Columns::new(&batch, anchor, options);
        let columns = columns.map_err(|Mismatch { column, found }| Error::Column {
            path: path.into(),
            column,
            found,
        })?;
        if columns.rows() > 0 {
            return Ok(Some(columns));
        }
    }
    Ok(None)
}

/// Reader of a part of any schema version, whose batches have the present one.
struct PartReader {
    batches: ParquetRecordBatchReader,
    is_old: bool,
}

impl Iterator for PartReader {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = guarded(|| {
            let batch = self.batches.next()?;
            Some(if self.is_old {
                batch.and_then(|batch| present(&batch))
            } else {
                batch
            })
        });
        next.unwrap_or_else(|| Some(Err(ArrowError::ParquetError(UNREADABLE.into()))))
    }
}

fn reader(part: &ReadablePart, content: &Content, rows: usize) -> Result<PartReader> {
    let open = |schema, is_old| {
        let options = ArrowReaderOptions::new().with_schema(schema);
        ParquetRecordBatchReaderBuilder::try_new_with_options(content.clone(), options)
            .and_then(|builder| builder.with_batch_size(rows).build())
            .map(|batches| PartReader { batches, is_old })
    };
    let opened = guarded(|| {
        let older = || {
            past_schemas()
                .into_iter()
                .find_map(|past| open(past, true).ok())
        };
        open(schema(), false).or_else(|error| older().ok_or(error))
    });
    opened
        .unwrap_or_else(|| Err(ParquetError::General(UNREADABLE.into())))
        .map_err(|source| Error::Parquet {
            path: part.path.clone(),
            source,
        })
}

/// Iterator over every event of a profile as record batches, part by part.
pub struct Batches {
    later: vec::IntoIter<ReadablePart>,
    current: Option<PartReader>,
}

impl Batches {
    pub(super) fn new(parts: Vec<ReadablePart>) -> Self {
        Self {
            later: parts.into_iter(),
            current: None,
        }
    }
}

impl Iterator for Batches {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.current.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            let part = self.later.next()?;
            let opened = part.source.open();
            match opened.and_then(|content| reader(&part, &content, BATCH_ROWS)) {
                Ok(reader) => self.current = Some(reader),
                Err(error) => return Some(Err(ArrowError::ExternalError(Box::new(error)))),
            }
        }
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        schema()
    }
}
