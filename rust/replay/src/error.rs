//! Failures of a replay.

use std::io;

use membench_event::{Class, Failure, Hint, Setting};

/// The result of a replay.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of a replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The profile cannot be read.
    #[error(transparent)]
    Profile(#[from] membench_profile::Error),
    /// No pacing is written like this.
    #[error("unknown pacing `{given}`")]
    Pacing {
        /// The pacing that was given.
        given: String,
    },
    /// The target is neither `HOST:PORT` nor `unix:PATH`.
    #[error("`{given}` is neither HOST:PORT nor unix:PATH")]
    TargetAddress {
        /// The target that was given.
        given: String,
    },
    /// The target cannot be reached.
    #[error("{target}: {source}")]
    TargetUnreachable {
        /// The target's address.
        target: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The target takes connections and answers nothing.
    #[error("{target} accepts connections, but sent no answer within 5 s")]
    TargetSilent {
        /// The target's address.
        target: String,
    },
    /// The target closed a connection instead of answering.
    #[error("{target} closed the connection instead of answering")]
    TargetClosed {
        /// The target's address.
        target: String,
    },
    /// The target does not answer like memcached.
    #[error("{target} does not answer like memcached: {answer}")]
    TargetProtocol {
        /// The target's address.
        target: String,
        /// The start of its answer.
        answer: String,
    },
    /// The target holds items or has other clients.
    #[error(
        "{target} holds {} items and has {} clients: it looks like production",
        thousands(*items),
        thousands(*clients)
    )]
    TargetBusy {
        /// The target's address.
        target: String,
        /// Number of items it holds.
        items: u64,
        /// Number of connections that are not ours.
        clients: u64,
    },
    /// No event of the profile can be sent.
    #[error("nothing to replay: none of the recording's {events} events can be sent")]
    Nothing {
        /// Number of events in the recording.
        events: u64,
    },
    /// The recording has more connections than this process may open.
    #[error(
        "the recording needs {wanted} connections, but this process may open only {limit} files"
    )]
    TooManyConnections {
        /// Number of connections in the recording.
        wanted: u64,
        /// The limit on open files.
        limit: u64,
    },
    /// The observer ended the run before the first request.
    #[error("stopped before the first request was sent")]
    Stopped,
    /// A system call that replaying needs failed.
    #[error("replay: {call}: {source}")]
    System {
        /// The system call.
        call: &'static str,
        /// The system's reason.
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
            | Self::TargetSilent { .. }
            | Self::TargetClosed { .. }
            | Self::TargetProtocol { .. }
            | Self::TargetBusy { .. } => Class::Target,
            Self::Stopped => Class::Failed,
        }
    }

    fn hint(&self) -> Option<Hint> {
        let hint = match self {
            Self::Profile(membench_profile::Error::Sampled { .. }) => {
                return Some(
                    Hint::setting(Setting::AllowSampled, "").then(
                        " replays this fraction; a recording without a sample holds all of it",
                    ),
                );
            }
            Self::Profile(error) => return error.hint(),
            Self::Nothing { .. } | Self::Stopped | Self::System { .. } => return None,
            Self::TargetProtocol { .. } => {
                "the target must be a memcached that speaks plain text and answers `stats`"
            }
            Self::TargetSilent { .. } => {
                "it hangs or is stopped, or it is no memcached; one that runs answers `stats` at once"
            }
            Self::TargetClosed { .. } => {
                "it has reached its most connections (memcached's `-c`), expects TLS or a password, or is no memcached"
            }
            Self::Pacing { .. } => {
                "use `recorded`, `speed=2`, `rate=50000/s`, `poisson=50000/s` or `ramp=1000..50000/30s`"
            }
            Self::TargetAddress { .. } => {
                "use for example `127.0.0.1:11211`, `[::1]:11211`, `cache.example:11211` or `unix:/run/memcached.sock`"
            }
            Self::TargetUnreachable { target, .. } if target.starts_with("unix:") => {
                "is memcached running, and may you connect to its socket? `memcached -s PATH -a 0770` makes one"
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
                        .then(" allows it"),
                );
            }
            Self::TooManyConnections { wanted, .. } => {
                return Some(Hint::text(format!(
                    "raise the limit: `ulimit -n {}`",
                    wanted + 64
                )));
            }
        };
        Some(Hint::text(hint))
    }
}

/// Formats a count with a comma between thousands.
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
