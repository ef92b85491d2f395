//! Record batches ↔ an open part: an Arrow IPC stream whose complete batches survive a crash.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{ArrowError, Schema, SchemaRef};

use super::folder::Folder;
use super::guarded::guarded;
use super::messages::{Trouble, whole_length};
use super::schema;
use crate::{Error, Result};

/// A batch of the present schema.
type Converted = std::result::Result<RecordBatch, ArrowError>;

/// zstd level. An open part is read once and then removed, so CPU time matters more than size.
const LEVEL: i32 = -20;

/// File name of an open part.
pub(super) fn open_name(number: u32) -> String {
    format!("events-{number:06}.arrows.part")
}

/// File name of a sealed part.
pub(super) fn sealed_name(number: u32) -> String {
    format!("events-{number:06}.parquet")
}

/// Parses a part's file name into its number and whether the part is sealed.
pub(super) fn part_number(name: &str) -> Option<(u32, bool)> {
    let rest = name.strip_prefix("events-")?;
    let (number, sealed) = match rest.strip_suffix(".parquet") {
        Some(number) => (number, true),
        None => (rest.strip_suffix(".arrows.part")?, false),
    };
    let number = number.parse().ok()?;
    let written = if sealed { sealed_name } else { open_name }(number);
    (written == name).then_some((number, sealed))
}

/// An open part being written.
pub(super) struct TailWriter {
    pub(super) number: u32,
    pub(super) events: u64,
    stream: StreamFile,
}

impl TailWriter {
    /// Creates an open part.
    pub(super) fn create(folder: &Folder, number: u32) -> Result<Self> {
        Ok(Self {
            number,
            events: 0,
            stream: StreamFile::create(folder, open_name(number), &schema::part_schema())?,
        })
    }

    /// Length of the whole batches in the file, bytes.
    pub(super) fn length(&self) -> u64 {
        self.stream.length
    }

    /// Appends a batch as a whole or not at all. After a failure the part must not be written again.
    pub(super) fn write(&mut self, folder: &Folder, batch: &RecordBatch) -> Result<()> {
        self.stream.write(folder, batch)?;
        self.events += batch.num_rows() as u64;
        Ok(())
    }

    /// Returns the batches written so far as a part to seal.
    pub(super) fn to_tail(&self, folder: &Folder) -> Result<Tail> {
        self.stream.to_tail(folder, self.number)
    }
}

/// A file of record batches, appended one by one.
pub(super) struct StreamFile {
    name: String,
    /// Length of the whole batches in the file, bytes.
    pub(super) length: u64,
    file: File,
    stream: StreamWriter<Vec<u8>>,
}

impl StreamFile {
    /// Creates a file for batches of a schema.
    pub(super) fn create(folder: &Folder, name: String, schema: &Schema) -> Result<Self> {
        let stream = arrow_in(folder, &name, stream(schema))?;
        let file = folder.create_file(&name)?;
        let mut created = Self {
            name,
            length: 0,
            file,
            stream,
        };
        created.write_out(folder)?;
        Ok(created)
    }

    /// Appends a batch as a whole or not at all. After a failure to encode it, the file must not be written again.
    pub(super) fn write(&mut self, folder: &Folder, batch: &RecordBatch) -> Result<()> {
        arrow_in(folder, &self.name, self.stream.write(batch))?;
        self.write_out(folder)
    }

    fn write_out(&mut self, folder: &Folder) -> Result<()> {
        let bytes = std::mem::take(self.stream.get_mut());
        if let Err(source) = self.file.write_all_at(&bytes, self.length) {
            // Cut off what was written of the batch; if that fails too, readers stop before it.
            drop(self.file.set_len(self.length));
            return Err(folder.failed(&self.name, source));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Returns the batches written so far, to be read.
    pub(super) fn to_tail(&self, folder: &Folder, number: u32) -> Result<Tail> {
        let file = self.file.try_clone();
        Ok(Tail {
            file: file.map_err(|source| folder.failed(&self.name, source))?,
            number,
            length: self.length,
            excess: 0,
        })
    }
}

fn stream(schema: &Schema) -> std::result::Result<StreamWriter<Vec<u8>>, ArrowError> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?
        .try_with_compression(Some(CompressionType::ZSTD))?
        .try_with_compression_level(Some(LEVEL))?;
    StreamWriter::try_new_with_options(Vec::new(), schema, options)
}

fn arrow_in<T>(
    folder: &Folder,
    name: &str,
    result: std::result::Result<T, ArrowError>,
) -> Result<T> {
    result.map_err(|source| Error::Arrow {
        path: folder.path().join(name),
        source,
    })
}

/// An open part being read, up to its last complete message.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    pub(super) number: u32,
    /// Length of the complete messages, bytes.
    pub(super) length: u64,
    /// Bytes after the complete messages: a message that a crash cut off.
    pub(super) excess: u64,
}

impl Tail {
    /// Finds the complete messages of an open part.
    pub(super) fn open(folder: &Folder, number: u32, file: File) -> Result<Self> {
        Self::open_named(folder, &open_name(number), number, file)
    }

    /// Finds the complete messages of a file with this name.
    pub(super) fn open_named(folder: &Folder, name: &str, number: u32, file: File) -> Result<Self> {
        let failed = |source| folder.failed(name, source);
        let size = file.metadata().map_err(failed)?.len();
        let length = whole_length(&file, size).map_err(|trouble| match trouble {
            Trouble::Io(source) => failed(source),
            Trouble::Absurd(found) => Error::Damaged {
                path: folder.path().join(name),
                found,
            },
        })?;
        Ok(Self {
            file,
            number,
            length,
            excess: size - length,
        })
    }

    /// Reads the batches with only the given columns of [`schema::part_schema`]; `None` if not even the stream's own
    /// schema is complete. A stream of an older schema version is converted.
    pub(super) fn batches(
        &self,
        columns: &[usize],
    ) -> std::result::Result<Option<impl Iterator<Item = Converted>>, ArrowError> {
        if self.length == 0 {
            return Ok(None);
        }
        let written = self.stream(None)?.schema();
        if !schema::is_known(&written) {
            return Err(ArrowError::SchemaError("columns that no event has".into()));
        }
        let wanted = schema::part_schema();
        let columns = columns
            .iter()
            .map(|column| schema::index_in(&written, wanted.field(*column).name()));
        let mut stream = self.stream(Some(columns.collect::<std::result::Result<_, _>>()?))?;
        let is_old = written != wanted;
        Ok(Some(std::iter::from_fn(move || {
            let next = guarded(|| {
                let batch = stream.next()?;
                Some(if is_old {
                    batch.and_then(|batch| schema::present(&batch))
                } else {
                    batch
                })
            });
            next.unwrap_or_else(|| Some(Err(unreadable())))
        })))
    }

    /// Reads the batches of a stream of this schema, or of any; none if not even the stream's own schema is complete.
    pub(super) fn rows(
        &self,
        schema: Option<&SchemaRef>,
    ) -> std::result::Result<impl Iterator<Item = Converted> + use<'_>, ArrowError> {
        let mut stream = (self.length > 0).then(|| self.stream(None)).transpose()?;
        if let Some(stream) = &stream
            && schema.is_some_and(|schema| stream.schema() != *schema)
        {
            return Err(ArrowError::SchemaError("columns of another table".into()));
        }
        Ok(std::iter::from_fn(move || {
            let stream = stream.as_mut()?;
            guarded(|| stream.next()).unwrap_or_else(|| Some(Err(unreadable())))
        }))
    }

    /// Opens the stream, with only the given ones of its columns.
    fn stream(
        &self,
        columns: Option<Vec<usize>>,
    ) -> std::result::Result<StreamReader<impl Read>, ArrowError> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let reader = BufReader::with_capacity(1 << 18, file.take(self.length));
        guarded(|| StreamReader::try_new(reader, columns)).unwrap_or_else(|| Err(unreadable()))
    }
}

/// The error for messages on which the reader of Arrow panics.
fn unreadable() -> ArrowError {
    ArrowError::IpcError("bytes that cannot be read".into())
}
