//! What a replay cannot do, or its target does not allow → its text, its class and what to do about it.

use std::io;

use membench_event::{Class, Failure, Hint, Setting};

/// The result of a replay.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a recording cannot be replayed, or not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The profile cannot be read, or not replayed.
    #[error(transparent)]
    Profile(#[from] membench_profile::Error),
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

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Profile(error) => error.class(),
            Self::Pacing { .. } | Self::TargetAddress { .. } => Class::Usage,
            Self::TooManyConnections { .. } | Self::System { .. } => Class::Environment,
            Self::Nothing { .. } => Class::Profile,
            Self::TargetUnreachable { .. }
            | Self::TargetProtocol { .. }
            | Self::TargetBusy { .. } => Class::Target,
        }
    }

    fn hint(&self) -> Option<Hint> {
        let hint = match self {
            Self::Profile(error) => return error.hint(),
            Self::TargetProtocol { .. } | Self::Nothing { .. } | Self::System { .. } => {
                return None;
            }
            Self::Pacing { .. } => "`recorded`, `speed=2` or `rate=50000/s`",
            Self::TargetAddress { .. } => {
                "`127.0.0.1:11211`, `[::1]:11211` or `cache.example:11211`"
            }
            Self::TargetUnreachable { target, .. } => {
                return Some(Hint::text(format!(
                    "is memcached running and listening on {target}? `memcached -l ADDRESS -p PORT` starts one"
                )));
            }
            Self::TargetBusy { .. } => {
                return Some(
                    Hint::text("replay writes to its target; ")
                        .then_setting(Setting::AllowNonempty, "")
                        .then(" if you mean it"),
                );
            }
            Self::TooManyConnections { wanted, .. } => {
                return Some(Hint::text(format!(
                    "`ulimit -n {}`, then again",
                    wanted + 64
                )));
            }
        };
        Some(Hint::text(hint))
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
