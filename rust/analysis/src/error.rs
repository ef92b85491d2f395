//! Failures of an analysis.

use membench_event::{Class, Failure, Hint};

/// The result of an analysis.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of an analysis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The profile cannot be read.
    #[error(transparent)]
    Profile(#[from] membench_profile::Error),
    /// No section of the analysis has this name.
    #[error("unknown analysis `{name}`; available: {}", known.join(", "))]
    UnknownSection {
        /// The name that was asked for.
        name: String,
        /// The names of all sections.
        known: Vec<&'static str>,
    },
    /// The profile has more distinct keys than the analysis can number.
    #[error("more than {limit} distinct keys")]
    TooManyKeys {
        /// The most that the analysis can number.
        limit: u64,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Profile(error) => error.class(),
            Self::UnknownSection { .. } => Class::Usage,
            Self::TooManyKeys { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::Profile(error) => error.hint(),
            Self::UnknownSection { .. } | Self::TooManyKeys { .. } => None,
        }
    }
}
