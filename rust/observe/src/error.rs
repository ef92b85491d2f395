//! Failures of an observation: their messages, classes and remedies.

use membench_event::{Class, Failure, Hint};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to observe requests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The servers listen on no TCP port.
    #[error(
        "requests are observed on TCP, and the chosen servers listen on UNIX-domain sockets only"
    )]
    NoPort,
    /// The kernel lacks a hook.
    #[error("this kernel has no tracepoint `{tracepoint}`, which observing requests takes")]
    NoHook {
        /// The tracepoint.
        tracepoint: &'static str,
        /// The loader's words for it.
        source: Box<membench_bpf::Error>,
    },
    /// The servers cannot be found.
    #[error(transparent)]
    Selection(#[from] membench_capture::Error),
    /// The loader failed.
    #[error(transparent)]
    Kernel(#[from] membench_bpf::Error),
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NoPort => Class::Usage,
            Self::NoHook { .. } => Class::Environment,
            Self::Selection(error) => error.class(),
            Self::Kernel(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::NoPort => Some(Hint::text(
                "have memcached listen on a port (`-p`), and name it",
            )),
            Self::NoHook { .. } => Some(Hint::text(
                "Linux 6.3 has it; without `--requests`, `observe` works on any kernel",
            )),
            Self::Selection(error) => error.hint(),
            Self::Kernel(error) => error.hint(),
        }
    }
}
