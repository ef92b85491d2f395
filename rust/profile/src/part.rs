//! A part's file → its description and its bytes, ready to be read.

use std::path::PathBuf;

use super::content::Content;
use super::manifest::Part;

/// One part, ready to be read.
#[derive(Clone, Debug)]
pub(super) struct ReadablePart {
    /// Path of its file, for error messages.
    pub(super) path: PathBuf,
    /// Time range, size and counts.
    pub(super) description: Part,
    /// Its Parquet bytes.
    pub(super) content: Content,
}
