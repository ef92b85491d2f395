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
    /// A replay's pacing is not one there is.
    #[error("unknown pacing: {given}")]
    Pacing {
        /// What was asked for.
        given: String,
    },
    /// A target is not `HOST:PORT`.
    #[error("{given} is no target")]
    TargetAddress {
        /// What was given.
        given: String,
    },
    /// The target of a replay cannot be reached, or broke off.
    #[error("{target}: {source}")]
    TargetUnreachable {
        /// Which.
        target: String,
        /// Why.
        source: std::io::Error,
    },
    /// The target of a replay does not answer as memcached does.
    #[error("{target} does not answer like memcached: {answer}")]
    TargetProtocol {
        /// Which.
        target: String,
        /// What it said.
        answer: String,
    },
    /// The target of a replay is in use.
    #[error(
        "{target} holds {} items and has {} clients: it looks like production",
        thousands(*items),
        thousands(*clients)
    )]
    TargetBusy {
        /// Which.
        target: String,
        /// Items it holds.
        items: u64,
        /// Connections that are not ours.
        clients: u64,
    },
    /// A profile has nothing that could be replayed.
    #[error("nothing to replay: none of the recording's {events} events can be sent")]
    NothingToReplay {
        /// Events in the recording.
        events: u64,
    },
    /// More connections were recorded than this process may open.
    #[error("the recording needs {wanted} connections, this process may open {limit} files")]
    TooManyConnections {
        /// Connections of the recording.
        wanted: u64,
        /// The limit on open files.
        limit: u64,
    },
    /// A system call that replay needs failed.
    #[error("replay: {call}: {source}")]
    ReplaySystem {
        /// Which.
        call: &'static str,
        /// Why.
        source: std::io::Error,
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
            Self::Io { .. } | Self::TooManyConnections { .. } | Self::ReplaySystem { .. } => {
                Class::Environment
            }
            Self::Pacing { .. } | Self::TargetAddress { .. } => Class::Usage,
            Self::TargetUnreachable { .. }
            | Self::TargetProtocol { .. }
            | Self::TargetBusy { .. } => Class::Target,
            Self::NothingToReplay { .. } => Class::Profile,
        }
    }

    /// What to do about it, if there is something better than the message says.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. }
            | Self::TargetProtocol { .. }
            | Self::NothingToReplay { .. }
            | Self::ReplaySystem { .. } => None,
            Self::Pacing { .. } => Some("`recorded`, `speed=2` or `rate=50000/s`".to_owned()),
            Self::TargetAddress { .. } => {
                Some("`127.0.0.1:11211`, `[::1]:11211` or `cache.example:11211`".to_owned())
            }
            Self::TargetUnreachable { target, .. } => Some(format!(
                "is memcached running and listening on {target}? `memcached -l ADDRESS -p PORT` starts one"
            )),
            Self::TargetBusy { .. } => {
                Some("replay writes to its target; `--allow-nonempty` if you mean it".to_owned())
            }
            Self::TooManyConnections { wanted, .. } => {
                Some(format!("`ulimit -n {}`, then again", wanted + 64))
            }
        }
    }
}

/// A count with its thousands apart.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let head = digits.len() % 3;
    let mut text = digits[..head].to_owned();
    for group in digits.as_bytes()[head..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().map(|digit| char::from(*digit)));
    }
    text
}
