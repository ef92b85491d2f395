//! A sealed part's bytes, on disk or in memory, for any number of readers at once.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::checksum::Checksum;
use super::stored::StoredFile;

/// The bytes of one sealed part. Unlike clones of a [`File`], its clones share no read position.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A file and its length.
    File(Arc<File>, u64),
    /// A file that is opened for each read.
    Closed(Arc<StoredFile>),
    /// The open part of an unsealed profile, sealed in memory.
    Memory(Bytes),
}

impl Content {
    /// The first `length` bytes of a file.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self::File(Arc::new(file), length)
    }

    /// Opens the file, if it is closed.
    fn opened(&self) -> io::Result<Self> {
        match self {
            Self::Closed(file) => file.content().map_err(io::Error::other),
            Self::File(..) | Self::Memory(_) => Ok(self.clone()),
        }
    }

    /// Computes the checksum of all bytes.
    pub(super) fn checksum(&self) -> io::Result<Checksum> {
        match self {
            Self::File(file, length) => Checksum::of_file(file, *length),
            Self::Closed(_) => self.opened()?.checksum(),
            Self::Memory(bytes) => Ok(Checksum::of(bytes)),
        }
    }

    /// Fills `space` with the bytes from a position on.
    pub(super) fn fill(&self, space: &mut [u8], start: u64) -> io::Result<()> {
        self.reader(start)?.read_exact(space)
    }

    fn reader(&self, start: u64) -> io::Result<ContentReader> {
        Ok(ContentReader {
            content: self.opened()?,
            position: start,
        })
    }

    fn read_at(&self, space: &mut [u8], start: u64) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.read_at(space, start),
            Self::Closed(_) => self.opened()?.read_at(space, start),
            Self::Memory(bytes) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                bytes.get(start..).unwrap_or_default().read(space)
            }
        }
    }
}

impl Length for Content {
    fn len(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Closed(file) => file.bytes(),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Content {
    type T = BufReader<ContentReader>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(self.reader(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if let Self::Memory(bytes) = self {
            return bytes.get_bytes(start, length);
        }
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF("bytes beyond the end of the file".into()));
        }
        let mut space = vec![0; length];
        self.get_read(start)?.read_exact(&mut space)?;
        Ok(space.into())
    }
}

/// Sequential reader of a part, starting at an offset.
pub(super) struct ContentReader {
    content: Content,
    position: u64,
}

impl Read for ContentReader {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read_at(space, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}
