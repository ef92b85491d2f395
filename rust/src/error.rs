//! Everything that can go wrong, as facts; the bindings turn each into the exception a Python user expects.

use std::path::PathBuf;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed: what was wanted and what was found. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An analysis was asked for that does not exist.
    #[error("no analysis is called `{name}`; there are {}", known.join(", "))]
    UnknownAnalysis {
        /// What was asked for.
        name: String,
        /// Those that exist.
        known: Vec<&'static str>,
    },
    /// An analysis met more distinct keys than it can number.
    #[error("more than {limit} distinct keys")]
    TooManyKeys {
        /// How many it can number.
        limit: u64,
    },
}

/// The classes of failure that users tell apart, each with its own exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something broke inside: exit 1.
    Failed,
    /// The command or an argument is wrong: exit 2.
    Usage,
    /// A profile cannot be used: exit 1.
    Profile,
    /// This machine or its permissions do not allow it: exit 5.
    Environment,
    /// The target of a replay does not allow it: exit 5.
    Target,
    /// The output exists: exit 2.
    Exists,
}

impl Error {
    /// Which exception and exit code this becomes.
    pub fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Environment,
            Self::UnknownAnalysis { .. } => Class::Usage,
            Self::TooManyKeys { .. } => Class::Failed,
        }
    }

    /// What to do about it, if there is something better than the message says.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } | Self::UnknownAnalysis { .. } | Self::TooManyKeys { .. } => None,
        }
    }
}
