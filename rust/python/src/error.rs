//! Failures of every crate, and of arguments → the exceptions of `membench.errors`.

use membench_event::{Class, Failure, Hint};
use pyo3::{PyErr, import_exception};

import_exception!(membench.errors, MembenchError);
import_exception!(membench.errors, UsageError);
import_exception!(membench.errors, ProfileError);
import_exception!(membench.errors, CaptureUnavailableError);
import_exception!(membench.errors, TargetError);
import_exception!(membench.errors, OutputExistsError);

/// The result of an operation of the bindings.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failure of any crate, or of an argument that no crate checks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Analysis(#[from] membench_analysis::Error),
    #[error(transparent)]
    Capture(#[from] membench_capture::Error),
    #[cfg(feature = "ebpf")]
    #[error(transparent)]
    Observe(#[from] membench_observe::Error),
    #[cfg(feature = "ebpf")]
    #[error(transparent)]
    Probe(#[from] membench_probe::Error),
    #[error(transparent)]
    Profile(#[from] membench_profile::Error),
    #[error(transparent)]
    Replay(#[from] membench_replay::Error),
    #[cfg(feature = "ebpf")]
    #[error(transparent)]
    Trace(#[from] membench_trace::Error),
    /// A word is not among those that an option takes.
    #[error("unknown {option} `{found}`; wanted {wanted}")]
    UnknownWord {
        option: &'static str,
        found: String,
        wanted: &'static str,
    },
    /// A duration is negative, too long or not a number.
    #[error("{seconds} is not a duration in seconds")]
    NotADuration { seconds: f64 },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Analysis(error) => error.class(),
            Self::Capture(error) => error.class(),
            #[cfg(feature = "ebpf")]
            Self::Observe(error) => error.class(),
            #[cfg(feature = "ebpf")]
            Self::Probe(error) => error.class(),
            Self::Profile(error) => error.class(),
            Self::Replay(error) => error.class(),
            #[cfg(feature = "ebpf")]
            Self::Trace(error) => error.class(),
            Self::UnknownWord { .. } | Self::NotADuration { .. } => Class::Usage,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::Analysis(error) => error.hint(),
            Self::Capture(error) => error.hint(),
            #[cfg(feature = "ebpf")]
            Self::Observe(error) => error.hint(),
            #[cfg(feature = "ebpf")]
            Self::Probe(error) => error.hint(),
            Self::Profile(error) => error.hint(),
            Self::Replay(error) => error.hint(),
            #[cfg(feature = "ebpf")]
            Self::Trace(error) => error.hint(),
            Self::UnknownWord { .. } | Self::NotADuration { .. } => None,
        }
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let hint = error.hint();
        let arguments = (
            without_numbers(&error.to_string()),
            hint.as_ref().map(Hint::for_library),
            hint.as_ref().map(Hint::for_command_line),
        );
        match error.class() {
            Class::Failed => MembenchError::new_err(arguments),
            Class::Usage => UsageError::new_err(arguments),
            Class::Profile => ProfileError::new_err(arguments),
            Class::Environment => CaptureUnavailableError::new_err(arguments),
            Class::Target => TargetError::new_err(arguments),
            Class::Exists => OutputExistsError::new_err(arguments),
        }
    }
}

/// Strips the numbers that the standard library adds to the system's reasons: ` (os error 21)`.
fn without_numbers(message: &str) -> String {
    const START: &str = " (os error ";
    let mut parts = message.split(START);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.push_str(rest);
            }
            _ => {
                text.push_str(START);
                text.push_str(part);
            }
        }
    }
    text
}

/// Turns a crate's failure into a Python exception.
pub(crate) fn raise(error: impl Into<Error>) -> PyErr {
    error.into().into()
}
