//! A part's file → its description and its bytes, ready to be read.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::content::Content;
use super::manifest::Part;
use super::stored::StoredFile;
use crate::Result;

/// One part, ready to be read.
#[derive(Clone, Debug)]
pub(super) struct ReadablePart {
    /// Path of its file, for error messages.
    pub(super) path: PathBuf,
    /// Time range, size and counts.
    pub(super) description: Part,
    /// Its Parquet bytes.
    pub(super) source: Source,
}

/// Place of a part's or a table's bytes.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In a sealed file.
    File(Arc<StoredFile>),
    /// In memory: an open one, which was sealed there.
    Memory(Bytes),
}

impl Source {
    /// Opens the bytes, which are then known to be those that were written.
    pub(super) fn open(&self) -> Result<Content> {
        match self {
            Self::File(file) => file.open(),
            Self::Memory(bytes) => Ok(Content::Memory(bytes.clone())),
        }
    }

    /// Opens the bytes as [`open`](Self::open) does, without a descriptor that stays open.
    pub(super) fn open_closed(&self) -> Result<Content> {
        let content = self.open()?;
        Ok(match self {
            Self::File(file) => Content::Closed(Arc::clone(file)),
            Self::Memory(_) => content,
        })
    }
}
