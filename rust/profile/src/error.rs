//! Failures of reading and writing profiles.

use std::{
    io,
    path::{Path, PathBuf},
};

use membench_event::{Class, Failure, Hint, Sample, Setting, io_class, io_hint};

/// The result of reading or writing a profile.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of reading or writing a profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The output exists and may not be replaced.
    #[error("{} exists", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
        /// True if it is a profile, which can be replaced.
        is_profile: bool,
    },
    /// The output's name is empty.
    #[error("the output has no name")]
    NoName,
    /// The path to read is not a profile.
    #[error("{} is not a membench profile: {found}", path.display())]
    NotAProfile {
        /// The path.
        path: PathBuf,
        /// Description of what is there instead.
        found: &'static str,
    },
    /// The output exists and is not a profile, so it is not replaced.
    #[error("{} is not a membench profile, so it is not replaced: {found}", path.display())]
    NotReplaced {
        /// The output.
        path: PathBuf,
        /// Description of what is there instead.
        found: &'static str,
    },
    /// Root would follow a link that another user made.
    #[error("{}: {} is a link of uid {uid}, which root does not follow", path.display(), link.display())]
    StrangersLink {
        /// The path.
        path: PathBuf,
        /// The link on it.
        link: PathBuf,
        /// The link's owner.
        uid: u32,
    },
    /// A file of the profile belongs to another user than the profile.
    #[error("{}: it belongs to uid {uid}, the profile to uid {owner}", path.display())]
    StrangersFile {
        /// The file.
        path: PathBuf,
        /// The file's owner.
        uid: u32,
        /// The owner of the profile's folder.
        owner: u32,
    },
    /// The path was given to something else while the profile was being created.
    #[error("{}: somebody else replaced it meanwhile", path.display())]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// Another process is writing the profile.
    #[error("{} is still being recorded by another process", path.display())]
    BeingRecorded {
        /// The profile's folder.
        path: PathBuf,
    },
    /// The manifest is missing though there are parts.
    #[error("{}: manifest.json is missing, but there are parts of a profile", path.display())]
    ManifestMissing {
        /// The profile's folder.
        path: PathBuf,
    },
    /// The manifest is not what its schema version promises.
    #[error("{}: manifest.json is damaged: {source}", path.display())]
    ManifestDamaged {
        /// The profile's folder.
        path: PathBuf,
        /// The place in the manifest, and what was expected there.
        source: serde_json::Error,
    },
    /// A newer membench wrote the profile.
    #[error(
        "{}: schema version {found} is newer than this membench ({supported}); upgrade it",
        path.display()
    )]
    NewerSchema {
        /// The profile's folder.
        path: PathBuf,
        /// The profile's version.
        found: u64,
        /// The newest version that this membench reads.
        supported: u32,
    },
    /// The manifest names a file that does not exist.
    #[error("{}: {name} is missing", path.display())]
    Missing {
        /// The profile's folder.
        path: PathBuf,
        /// The file's name.
        name: String,
    },
    /// No table of an observation has the name.
    #[error("`{name}` is no table of an observation")]
    NoSuchTable {
        /// The name.
        name: String,
    },
    /// Rows of an observation do not fit their tables.
    #[error("rows of an observation that fit no table: {found}")]
    Observation {
        /// The difference.
        found: String,
    },
    /// A sealed profile holds a part that its manifest does not name.
    #[error("{}: the manifest of this sealed profile does not name it", path.display())]
    Unlisted {
        /// The part's file.
        path: PathBuf,
    },
    /// A file is not as it was written.
    #[error("{}: changed since it was written: {found}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The difference.
        found: String,
    },
    /// A file holds what no recorder writes.
    #[error("{}: damaged: {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Description of what it holds.
        found: String,
    },
    /// A file cannot be read as Parquet.
    #[error("{}: damaged: {}", path.display(), without_kind(&source.to_string()))]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        source: parquet::errors::ParquetError,
    },
    /// A file cannot be read as Arrow.
    #[error("{}: {source}", path.display())]
    Arrow {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        source: arrow_schema::ArrowError,
    },
    /// A column has another type, or holds a name that this schema version does not know.
    #[error("{}: the column {column} holds {found}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// Description of what the column holds.
        found: String,
    },
    /// The profile is a sample, which cannot answer the request.
    #[error("{} holds {sample}: {why}", path.display())]
    Sampled {
        /// The profile's folder.
        path: PathBuf,
        /// The share of the traffic in the profile.
        sample: Sample,
        /// Reason why a sample does not suffice.
        why: &'static str,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => io_class(source),
            Self::Exists { .. } => Class::Exists,
            Self::NotAProfile { .. }
            | Self::NoName
            | Self::NotReplaced { .. }
            | Self::StrangersLink { .. }
            | Self::StrangersFile { .. }
            | Self::Replaced { .. }
            | Self::BeingRecorded { .. }
            | Self::Sampled { .. }
            | Self::NoSuchTable { .. }
            | Self::Observation { .. } => Class::Usage,
            Self::ManifestMissing { .. }
            | Self::ManifestDamaged { .. }
            | Self::NewerSchema { .. }
            | Self::Missing { .. }
            | Self::Unlisted { .. }
            | Self::Changed { .. }
            | Self::Damaged { .. }
            | Self::Parquet { .. }
            | Self::Arrow { .. }
            | Self::Column { .. } => Class::Profile,
        }
    }

    fn hint(&self) -> Option<Hint> {
        let text = match self {
            Self::Io { source, .. } => return io_hint(source),
            Self::Exists {
                is_profile: true, ..
            } => {
                return Some(Hint::setting(Setting::Force, "").then(" replaces it"));
            }
            Self::NoName => "name a folder, for example `production.mb`",
            Self::NotAProfile { .. } => "name the folder that a recording wrote (`NAME.mb`)",
            Self::Exists { .. } | Self::NotReplaced { .. } => "choose another name for the output",
            Self::StrangersLink { .. } => "name what the link leads to, if you trust it",
            Self::StrangersFile { .. } => {
                "check where the file is from, or run as the profile's owner"
            }
            Self::Replaced { .. } => "choose a folder in which only you can write",
            Self::BeingRecorded { .. } => "end that recording first",
            Self::ManifestMissing { .. } => {
                "copy the whole folder again; any Parquet reader opens `events-*.parquet`"
            }
            Self::ManifestDamaged { .. }
            | Self::Missing { .. }
            | Self::Unlisted { .. }
            | Self::Changed { .. }
            | Self::Damaged { .. }
            | Self::Parquet { .. }
            | Self::Arrow { .. }
            | Self::Column { .. } => "copy the whole folder again from where it was recorded",
            Self::NewerSchema { .. } => "`pip install --upgrade membench`",
            Self::Sampled { .. } => "record without a sample",
            Self::NoSuchTable { .. } => {
                "`observe-intervals`, `observe-parts`, …: see the profile format"
            }
            Self::Observation { .. } => "report it, with the version",
        };
        Some(Hint::text(text))
    }
}

/// Strips the Parquet reader's own `Parquet error: `.
fn without_kind(message: &str) -> &str {
    message
        .split_once(": ")
        .map_or(message, |(_, reason)| reason)
}

/// Returns [`Error::Sampled`] with the reason `why` unless the sample is the whole traffic.
pub fn require_all(sample: Sample, profile: &Path, why: &'static str) -> Result<()> {
    if sample.is_all() {
        return Ok(());
    }
    Err(Error::Sampled {
        path: profile.into(),
        sample,
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sample_is_refused() {
        for (keys, connections) in [(1, 1), (100, 1), (1, 4), (10, 4)] {
            let sample = Sample { keys, connections };
            let whole = require_all(sample, Path::new("x.mb"), "").is_ok();
            assert_eq!(whole, sample.is_all());
        }
    }
}
