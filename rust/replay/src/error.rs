//! What a replay cannot do, or its target does not allow → its text, its class and what to do about it.

use std::io;

use super::Class;

/// Why a recording cannot be replayed, or not there; part of [`Error`](super::Error).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
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
        source: io::Error,
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
    Nothing {
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
    System {
        /// Which.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl ReplayError {
    /// Which exception and exit code this becomes.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Pacing { .. } | Self::TargetAddress { .. } => Class::Usage,
            Self::TooManyConnections { .. } | Self::System { .. } => Class::Environment,
            Self::Nothing { .. } => Class::Profile,
            Self::TargetUnreachable { .. }
            | Self::TargetProtocol { .. }
            | Self::TargetBusy { .. } => Class::Target,
        }
    }

    /// What to do about it, if there is something better than the message says.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TargetProtocol { .. } | Self::Nothing { .. } | Self::System { .. } => {
                return None;
            }
            Self::Pacing { .. } => "`recorded`, `speed=2` or `rate=50000/s`",
            Self::TargetAddress { .. } => {
                "`127.0.0.1:11211`, `[::1]:11211` or `cache.example:11211`"
            }
            Self::TargetUnreachable { target, .. } => {
                return Some(format!(
                    "is memcached running and listening on {target}? `memcached -l ADDRESS -p PORT` starts one"
                ));
            }
            Self::TargetBusy { .. } => {
                "replay writes to its target; `--allow-nonempty` if you mean it"
            }
            Self::TooManyConnections { wanted, .. } => {
                return Some(format!("`ulimit -n {}`, then again", wanted + 64));
            }
        };
        Some(hint.into())
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
