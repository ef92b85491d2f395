//! Record batches ↔ an open part: an Arrow IPC stream whose complete batches survive a crash.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, MetadataVersion, root_as_message};
use arrow_schema::{ArrowError, Schema};

use super::folder::Folder;
use super::schema;
use crate::{Error, Result};

/// A batch of the present schema.
type Converted = std::result::Result<RecordBatch, ArrowError>;

/// First bytes of every message in the stream.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// zstd level. An open part is read once and then removed, so CPU time matters more than size.
const LEVEL: i32 = -20;
/// Longest metadata of a message, bytes; a longer one is taken for damage.
const LONGEST_METADATA: u32 = 1 << 20;

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
    Some((number.parse().ok()?, sealed))
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
        let length = complete_length(&file, size).map_err(failed)?;
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
        let wanted = schema::part_schema();
        let columns = columns
            .iter()
            .map(|column| written.index_of(wanted.field(*column).name()));
        let stream = self.stream(Some(columns.collect::<std::result::Result<_, _>>()?))?;
        let is_old = written != wanted;
        Ok(Some(stream.map(move |batch| {
            if is_old {
                batch.and_then(|batch| schema::present(&batch))
            } else {
                batch
            }
        })))
    }

    /// Reads the batches as they were written; none if not even the schema is complete.
    pub(super) fn rows(
        &self,
        folder: &Folder,
        name: &'static str,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let path = folder.path().join(name);
        let stream = (self.length > 0).then(|| self.stream(None)).transpose();
        let stream = arrow_in(folder, name, stream)?;
        let batches = stream.into_iter().flatten();
        Ok(batches.map(move |batch| {
            batch.map_err(|source| Error::Arrow {
                path: path.clone(),
                source,
            })
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
        StreamReader::try_new(reader, columns)
    }
}

/// Length of the complete messages at the start of a file.
fn complete_length(file: &File, size: u64) -> std::io::Result<u64> {
    let mut end = 0;
    while let Some(next) = message_end(file, end, size)? {
        end = next;
    }
    Ok(end)
}

/// Finds the end of the message that starts at an offset; `None` if it is incomplete or not a message.
fn message_end(file: &File, start: u64, size: u64) -> std::io::Result<Option<u64>> {
    let Some(body) = start.checked_add(8).filter(|body| *body <= size) else {
        return Ok(None);
    };
    let mut prefix = [0; 8];
    file.read_exact_at(&mut prefix, start)?;
    let (marker, length) = prefix.split_at(4);
    let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
    if marker != CONTINUATION || length == 0 || length > LONGEST_METADATA {
        return Ok(None);
    }
    let body = body + u64::from(length);
    if body > size {
        return Ok(None);
    }
    let mut metadata = vec![0; length as usize];
    file.read_exact_at(&mut metadata, start + 8)?;
    let end = root_as_message(&metadata)
        .ok()
        .and_then(|message| u64::try_from(message.bodyLength()).ok())
        .and_then(|length| body.checked_add(length));
    Ok(end.filter(|end| *end <= size))
}
