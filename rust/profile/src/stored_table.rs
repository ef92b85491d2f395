//! A stored table → record batches, a few rows at a time.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::events::UNREADABLE;
use super::folder::Folder;
use super::guarded::guarded;
use super::observation::present;
use super::part::Source;
use super::stored::{Expected, StoredFile};
use crate::{Error, Result};

/// Attempts to open a table that a recorder replaces.
const ATTEMPTS: u32 = 8;
/// Rows of each batch.
const ROWS: usize = 1 << 13;

/// A table of a profile; empty if it was never written.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    schema: SchemaRef,
    source: Option<Source>,
    /// True if the file may lack columns, and have others.
    is_any_version: bool,
}

impl Table {
    /// Finds the table of a name.
    pub(super) fn find(
        folder: &Arc<Folder>,
        name: &str,
        schema: SchemaRef,
        expected: Option<Expected>,
    ) -> Result<Self> {
        let mut file = None;
        for _ in 0..ATTEMPTS {
            file = StoredFile::find(folder, name, expected)?;
            if expected.is_some() {
                break;
            }
            // A recorder may replace it between looking and opening.
            match file.take().map(StoredFile::held) {
                None => break,
                Some(Ok(held)) => {
                    file = Some(held);
                    break;
                }
                Some(Err(Error::Changed { .. } | Error::Missing { .. })) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        if file.is_none() && expected.is_some() {
            return Err(Error::Missing {
                path: folder.path().into(),
                name: name.into(),
            });
        }
        Ok(Self {
            path: folder.path().join(name),
            schema,
            source: file.map(|file| Source::File(Arc::new(file))),
            is_any_version: false,
        })
    }

    /// Takes a table that was sealed in memory, as Parquet.
    pub(super) fn in_memory(
        folder: &Folder,
        name: &str,
        schema: SchemaRef,
        content: Bytes,
    ) -> Self {
        Self {
            path: folder.path().join(name),
            schema,
            source: Some(Source::Memory(content)),
            is_any_version: false,
        }
    }

    /// Returns a table without rows.
    pub(super) fn empty(folder: &Folder, name: &str, schema: SchemaRef) -> Self {
        Self {
            path: folder.path().join(name),
            schema,
            source: None,
            is_any_version: false,
        }
    }

    /// Accepts a file of another version: columns that it lacks are null, and others are passed over.
    #[must_use]
    pub(super) fn of_any_version(self) -> Self {
        Self {
            is_any_version: true,
            ..self
        }
    }

    /// Arrow schema of the table.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// Path of its file.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Name of its file.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its file, if it was written and is not in memory.
    pub(super) fn file(&self) -> Option<&StoredFile> {
        match &self.source {
            Some(Source::File(file)) => Some(file),
            Some(Source::Memory(_)) | None => None,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> Result<u64> {
        let Some(builder) = self.builder()? else {
            return Ok(0);
        };
        Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0))
    }

    /// Reads the rows, from the first on.
    pub fn batches(&self) -> Result<TableBatches> {
        let reader = match self.builder()? {
            None => None,
            Some(builder) => Some(self.read(|| builder.with_batch_size(ROWS).build())?),
        };
        Ok(TableBatches {
            schema: self.schema(),
            reader,
            is_any_version: self.is_any_version,
        })
    }

    fn builder(&self) -> Result<Option<ParquetRecordBatchReaderBuilder<super::content::Content>>> {
        let Some(source) = &self.source else {
            return Ok(None);
        };
        let content = source.open()?;
        if self.is_any_version {
            return self.read(|| self.known_columns(content)).map(Some);
        }
        let options = ArrowReaderOptions::new().with_schema(self.schema());
        let open = || ParquetRecordBatchReaderBuilder::try_new_with_options(content, options);
        self.read(open).map(Some)
    }

    fn known_columns(
        &self,
        content: super::content::Content,
    ) -> parquet::errors::Result<ParquetRecordBatchReaderBuilder<super::content::Content>> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(content)?;
        let fields = builder.schema().fields().iter().enumerate();
        let known = fields.filter(|(_, field)| self.schema.field_with_name(field.name()).is_ok());
        let known: Vec<_> = known.map(|(place, _)| place).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), known);
        Ok(builder.with_projection(mask))
    }

    fn read<T>(&self, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
        guarded(read)
            .unwrap_or_else(|| Err(ParquetError::General(UNREADABLE.into())))
            .map_err(|source| Error::Parquet {
                path: self.path.clone(),
                source,
            })
    }
}

/// Iterator over a table's rows as record batches.
pub struct TableBatches {
    schema: SchemaRef,
    reader: Option<ParquetRecordBatchReader>,
    is_any_version: bool,
}

impl TableBatches {
    /// Ends the iteration: rows after an error would follow a gap.
    pub(super) fn end(&mut self) {
        self.reader = None;
    }
}

impl Iterator for TableBatches {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let next = guarded(|| reader.next());
        let next = next.unwrap_or_else(|| Some(Err(ArrowError::ParquetError(UNREADABLE.into()))));
        let next = if self.is_any_version {
            next.map(|batch| batch.and_then(|batch| present(&batch, &self.schema)))
        } else {
            next
        };
        if matches!(next, Some(Err(_))) {
            self.end();
        }
        next
    }
}

impl RecordBatchReader for TableBatches {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}
