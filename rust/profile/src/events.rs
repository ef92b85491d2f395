//! Parts → one stream of events in order, or record batches part by part.

use std::path::PathBuf;
use std::vec;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::decode::{Columns, Mismatch};
use super::reader::Source;
use super::schema::schema;
use crate::{Error, Result};
use membench_event::Anchor;
use membench_event::{Event, OptionsTable};

/// Rows decoded at a time while merging.
const MERGED_ROWS: usize = 1 << 13;
/// Rows of a batch that is handed on.
const BATCH_ROWS: usize = 1 << 16;

/// Every event of a profile, by (time, connection, batch, request).
pub struct Events {
    /// Parts that are not reached yet, by their first time.
    later: vec::IntoIter<Source>,
    /// Parts whose ranges overlap here: mostly one.
    current: Vec<PartEvents>,
    anchor: Anchor,
    options: OptionsTable,
}

/// A part being read, at an event.
struct PartEvents {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    columns: Columns,
    row: usize,
}

impl Events {
    /// `sources` by first time.
    pub(super) fn new(sources: Vec<Source>, anchor: Anchor, options: OptionsTable) -> Self {
        Self {
            later: sources.into_iter(),
            current: Vec::new(),
            anchor,
            options,
        }
    }

    fn take(&mut self) -> Result<Option<Event>> {
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
        if part.row == part.columns.rows() && !part.next_batch(self.anchor, &mut self.options)? {
            self.current.swap_remove(index);
        }
        Ok(Some(event))
    }

    /// Opens every part that begins before the earliest event at hand.
    fn open_reached(&mut self) -> Result<()> {
        while let Some(source) = self.later.as_slice().first() {
            let reached = self
                .earliest()
                .is_none_or(|index| self.current[index].place().0 >= source.part.first_us);
            if !reached {
                break;
            }
            if let Some(source) = self.later.next() {
                let part = PartEvents::open(&source, self.anchor, &mut self.options)?;
                self.current.extend(part);
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
        let result = self.take();
        if result.is_err() {
            // What follows an error would have a hole in it.
            self.current.clear();
            self.later = Vec::new().into_iter();
        }
        result.transpose()
    }
}

impl PartEvents {
    fn open(source: &Source, anchor: Anchor, options: &mut OptionsTable) -> Result<Option<Self>> {
        let path = source.path.clone();
        let mut reader = reader(source, MERGED_ROWS)?;
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

/// The next batch that has events.
fn next_columns(
    path: &std::path::Path,
    reader: &mut ParquetRecordBatchReader,
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

fn reader(source: &Source, rows: usize) -> Result<ParquetRecordBatchReader> {
    let options = ArrowReaderOptions::new().with_schema(schema());
    ParquetRecordBatchReaderBuilder::try_new_with_options(source.content.clone(), options)
        .and_then(|builder| builder.with_batch_size(rows).build())
        .map_err(|cause| Error::Parquet {
            path: source.path.clone(),
            source: cause,
        })
}

/// Every event of a profile as record batches, part by part.
pub struct Batches {
    later: vec::IntoIter<Source>,
    current: Option<ParquetRecordBatchReader>,
}

impl Batches {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        Self {
            later: sources.into_iter(),
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
            match reader(&self.later.next()?, BATCH_ROWS) {
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
