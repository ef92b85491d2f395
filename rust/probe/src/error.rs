//! Failures of a probe: their messages, classes and remedies.

use std::{io, path::PathBuf};

use membench_bpf::{Cause, Kind};
use membench_event::{Class, Failure, Hint, io_class};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to observe a hook.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no hook.
    #[error("`{text}` is not a hook")]
    NotAHook {
        /// The text.
        text: String,
        /// The forms that hooks have.
        forms: &'static str,
    },
    /// The kernel or the file has no such place.
    #[error("{holder} has no {what} `{name}`")]
    NoSuchPlace {
        /// The kernel or the file.
        holder: String,
        /// `tracepoint`, `function` or `probe`.
        what: &'static str,
        /// The name that was looked up.
        name: String,
        /// Names that are much like it.
        nearest: Vec<String>,
    },
    /// The hook has no such operand.
    #[error("{hook} has no operand `{operand}` that is a number")]
    NoOperand {
        /// The hook.
        hook: String,
        /// The name that was looked up.
        operand: String,
        /// The operands that can be had.
        known: Vec<String>,
    },
    /// The options contradict each other or the hook.
    #[error("{wanted}: {found}")]
    Options {
        /// The options.
        wanted: String,
        /// The reason against them.
        found: String,
        /// The remedy.
        remedy: String,
    },
    /// The hook cannot be observed here.
    #[error("cannot observe {hook}: {source}")]
    Attach {
        /// The hook.
        hook: String,
        /// The type of the program.
        kind: Kind,
        /// The loader's reason.
        source: Box<membench_bpf::Error>,
    },
    /// tracefs is not there or cannot be read.
    #[error("cannot read the tracepoints in {}: {source}", path.display())]
    Tracefs {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No stack was seen.
    #[error("there is no stack to draw")]
    NoStack,
    /// A flame graph cannot be drawn.
    #[error("the flame graph cannot be drawn: {0}")]
    Drawing(io::Error),
    /// A file cannot be read, or is not what it should be.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The loader failed.
    #[error(transparent)]
    Kernel(#[from] membench_bpf::Error),
}

impl Error {
    /// Creates one for a file that is not in the form that it should have.
    pub(crate) fn malformed(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            source: io::Error::new(io::ErrorKind::InvalidData, reason.into()),
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NotAHook { .. }
            | Self::NoSuchPlace { .. }
            | Self::NoOperand { .. }
            | Self::Options { .. } => Class::Usage,
            Self::File { source, .. } => io_class(source),
            Self::Attach { .. } | Self::Tracefs { .. } | Self::NoStack => Class::Environment,
            Self::Drawing(_) => Class::Failed,
            Self::Kernel(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<Hint> {
        let text = match self {
            Self::NotAHook { forms, .. } => format!("write {forms}"),
            Self::NoSuchPlace { nearest, .. } if nearest.is_empty() => {
                return Some(Hint::command("probe", "--list 'PATTERN'").then(" finds hooks"));
            }
            Self::NoSuchPlace { nearest, .. } => format!("much like it: {}", nearest.join(", ")),
            Self::NoOperand { known, .. } if known.is_empty() => "it has none".into(),
            Self::NoOperand { known, .. } => format!("it has {}", known.join(", ")),
            Self::Options { remedy, .. } => remedy.clone(),
            Self::Attach { kind, source, .. } => return Some(attach_hint(*kind, source)),
            Self::Tracefs { source, .. } => tracefs_hint(source).into(),
            Self::NoStack => "observe for longer, or with fewer filters".into(),
            Self::Drawing(_) => "folded stacks can be drawn by other tools".into(),
            Self::File { source, .. } => return membench_event::io_hint(source),
            Self::Kernel(error) => return error.hint(),
        };
        Some(Hint::text(text))
    }
}

fn tracefs_hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied {
        "run as root, or with CAP_DAC_READ_SEARCH; `tp_btf:NAME` needs no tracefs"
    } else {
        "`mount -t tracefs tracefs /sys/kernel/tracing`; `tp_btf:NAME` needs no tracefs"
    }
}

/// Returns what brings a kind of hook that this kernel lacks, else the loader's own remedy.
fn attach_hint(kind: Kind, source: &membench_bpf::Error) -> Hint {
    let other = match kind {
        Kind::KernelProbe | Kind::KernelReturnProbe => {
            "a kernel with CONFIG_KPROBES brings kprobes; tracepoints work without: "
        }
        Kind::FunctionEntry | Kind::FunctionExit => {
            "fentry takes Linux 5.5 (6.0 on arm64) with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, and no policy against \
             it; tracepoints work without: "
        }
        _ => "",
    };
    let is_lacking = matches!(
        source.cause(Some(kind)),
        Cause::Unsupported(None) | Cause::Permission([])
    );
    match source.hint() {
        _ if is_lacking && !other.is_empty() => {
            Hint::text(other).then_hint(Hint::command("probe", "--list 'PATTERN'"))
        }
        Some(hint) => hint,
        None => Hint::command("doctor", "").then(" shows what this machine can do"),
    }
}
