//! Failures of obtaining the secret under which keys are hashed.

use std::{io, path::PathBuf};

use membench_event::{Class, Failure, Hint, io_class, io_hint};

/// A failure of obtaining the secret under which keys are hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The key file does not hold a 128-bit key.
    #[error("{}: {found}, wanted 32 hexadecimal digits or 16 bytes", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Description of what the file holds.
        found: String,
    },
    /// Users other than its owner have access to the key file.
    #[error("{}: others can read this key file (mode {mode:04o})", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file belongs to another user, who knows the key.
    #[error("{}: this key file belongs to uid {uid}", path.display())]
    Stranger {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for the key that protects keys: {0}")]
    Random(getrandom::Error),
}

impl Failure for KeyError {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => io_class(source),
            Self::Random(_) => Class::Environment,
            Self::File { .. } | Self::Readable { .. } | Self::Stranger { .. } => Class::Usage,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::Io { source, .. } => io_hint(source),
            Self::File { .. } | Self::Stranger { .. } => {
                Some(Hint::command("keygen", "FILE").then(" makes one"))
            }
            Self::Readable { path, .. } => {
                Some(Hint::text(format!("`chmod 600 {}`", path.display())))
            }
            Self::Random(_) => None,
        }
    }
}
