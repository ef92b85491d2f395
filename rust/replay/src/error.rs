//! Failures of a replay.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use membench_event::{Class, Failure, Hint, Setting};

use crate::target::tls::TlsFault;

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
    /// No rule for late requests is written like this.
    #[error("unknown rule for late requests `{given}`")]
    Late {
        /// The rule that was given.
        given: String,
    },
    /// No kind of values is written like this.
    #[error("unknown values `{given}`")]
    Value {
        /// The kind that was given.
        given: String,
    },
    /// No key can begin like this.
    #[error("no key can begin with `{given}`")]
    KeyPrefix {
        /// The prefix that was given.
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
    /// Several servers were recorded, and one target was given.
    #[error("the recording has {count} servers: {servers}")]
    SeveralServers {
        /// Names and shares of the servers.
        servers: String,
        /// Number of them.
        count: usize,
    },
    /// No server has that name.
    #[error("no server is called `{name}`: the recording has {servers}")]
    UnknownServer {
        /// The name that was given.
        name: String,
        /// Names and shares of the servers.
        servers: String,
    },
    /// A server was given two targets.
    #[error("the server {name} was given two targets")]
    ServerTwice {
        /// The server's name.
        name: String,
    },
    /// The target does not tell if it is empty.
    #[error("{target} does not tell {missing}: it may be in use")]
    TargetUntold {
        /// The target's address.
        target: String,
        /// Names of the statistics that it lacks.
        missing: String,
    },
    /// Several processes write to one target, and each would take the others for its users.
    #[error("several processes replay together: each finds the others' items in the target")]
    SharedTarget,
    /// The time at which the schedule was to start has passed.
    #[error("the start was {by:.1?} ago")]
    StartPassed {
        /// Time since then.
        by: Duration,
    },
    /// TLS with the target failed.
    #[error("{target}: {}", tls_words(*fault, words))]
    Tls {
        /// The target's address.
        target: String,
        /// The cause.
        fault: TlsFault,
        /// The words of the TLS library.
        words: String,
    },
    /// The target's address has no name that its certificate could have.
    #[error("no name for the certificate of {target}")]
    TlsName {
        /// The target's address.
        target: String,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("a client's certificate and its key belong together, and one of them is missing")]
    TlsHalf,
    /// A file of certificates or of a key cannot be used.
    #[error("{}: {reason}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Fault of the file.
        reason: String,
    },
    /// This system has no file of certificates that it trusts.
    #[error("this system has no list of trusted certificates")]
    TlsNoTrust,
    /// User and password cannot be read.
    #[error("{place}: {source}")]
    SecretUnreadable {
        /// The file, or the environment variable.
        place: String,
        /// The system's reason.
        source: io::Error,
    },
    /// User and password are not written as they must be.
    #[error("{place} does not hold `USER:PASSWORD`")]
    SecretMalformed {
        /// The file, or the environment variable.
        place: String,
    },
    /// The target wants a sign-in.
    #[error("{target} wants a user and a password")]
    SignInWanted {
        /// The target's address.
        target: String,
    },
    /// The target wants no sign-in, and would store the password as an item.
    #[error("{target} answers without a user and a password, and would store them as an item")]
    SignInUnwanted {
        /// The target's address.
        target: String,
    },
    /// The target refused user or password.
    #[error("{target} refused the user or the password")]
    SignInRefused {
        /// The target's address.
        target: String,
    },
    /// The target takes one protocol, and the recording has requests of another.
    #[error("{target} takes only the {wanted} protocol, which {others} requests are not in")]
    TargetSpeaks {
        /// The target's address.
        target: String,
        /// The protocol that it takes.
        wanted: &'static str,
        /// Number of requests of other protocols.
        others: u64,
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
    #[error("nothing to replay: none of {events} events can be sent")]
    Nothing {
        /// Number of events in the part of the recording that is to be replayed.
        events: u64,
    },
    /// This process's share of the connections is empty.
    #[error("share {index}/{of} has no connection: the recording has {connections}")]
    EmptyShare {
        /// Number of this process, from 0.
        index: u32,
        /// Number of processes.
        of: u32,
        /// Number of connections of the recording.
        connections: u64,
    },
    /// The recording has more connections than this process may open.
    #[error("the replay needs {wanted} connections, but this process may open only {limit} files")]
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
            Self::Pacing { .. }
            | Self::Late { .. }
            | Self::Value { .. }
            | Self::KeyPrefix { .. }
            | Self::TargetAddress { .. }
            | Self::SeveralServers { .. }
            | Self::UnknownServer { .. }
            | Self::ServerTwice { .. }
            | Self::SharedTarget
            | Self::StartPassed { .. }
            | Self::TlsName { .. }
            | Self::TlsHalf
            | Self::TlsFile { .. }
            | Self::SecretUnreadable { .. }
            | Self::SecretMalformed { .. }
            | Self::EmptyShare { .. } => Class::Usage,
            Self::TooManyConnections { .. } | Self::TlsNoTrust | Self::System { .. } => {
                Class::Environment
            }
            Self::Nothing { .. } => Class::Profile,
            Self::TargetUnreachable { .. }
            | Self::TargetSilent { .. }
            | Self::TargetClosed { .. }
            | Self::TargetProtocol { .. }
            | Self::TargetUntold { .. }
            | Self::Tls { .. }
            | Self::SignInWanted { .. }
            | Self::SignInUnwanted { .. }
            | Self::SignInRefused { .. }
            | Self::TargetSpeaks { .. }
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
            Self::TargetProtocol { .. } => {
                "the target must be a memcached that speaks plain text and answers `stats`"
            }
            Self::TargetSilent { .. } => {
                "it hangs or is stopped, wants TLS or SASL (`memcached -S`), or is no memcached; one that runs answers `stats` at once"
            }
            Self::TargetClosed { .. } => {
                "it has reached its most connections (memcached's `-c`), expects TLS or a password, or is no memcached"
            }
            Self::Pacing { .. } => {
                "use `recorded`, `speed=2`, `rate=50000/s`, `poisson=50000/s`, `ramp=1000..50000/30s`, `closed`, `closed=no-think` or `max`"
            }
            Self::Value { .. } => "use `text`, `random`, `compressible=0.6` or `zero`",
            Self::KeyPrefix { .. } => "use up to 100 printable letters of ASCII, none a space",
            Self::Late { .. } => {
                "use `send`, `drop` or `drop=5ms`: how long after its time a request is late"
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
                    wanted + crate::OTHER_FILES
                )));
            }
            _ => return self.access_hint(),
        };
        Some(Hint::text(hint))
    }
}

impl Error {
    /// Returns the remedy for a target that does not let this client in, or for a recording that has several.
    fn access_hint(&self) -> Option<Hint> {
        let hint = match self {
            Self::SeveralServers { .. } => {
                return Some(
                    Hint::setting(Setting::Map, "SERVER=HOST:PORT")
                        .then(" for each of them gives it a target; ")
                        .then_setting(Setting::Server, "SERVER")
                        .then(" replays one"),
                );
            }
            Self::UnknownServer { .. } => {
                "a server is called by its port, or by its address or path"
            }
            Self::SharedTarget => {
                return Some(
                    Hint::text("make sure that the target is empty, and accept it with ")
                        .then_setting(Setting::AllowNonempty, ""),
                );
            }
            Self::StartPassed { .. } => {
                "choose a time at which all processes have read the profile, connected, and stored what is to be there"
            }
            Self::ServerTwice { .. } => "give each server one; several servers can have the same",
            Self::TargetUntold { .. } => {
                return Some(
                    Hint::text("replay writes to its target; ")
                        .then_setting(Setting::AllowNonempty, "")
                        .then(" allows it, as for a proxy that is known to lead to an empty cache"),
                );
            }
            Self::Tls { fault, .. } => return Some(tls_hint(*fault)),
            Self::TlsName { .. } => {
                return Some(
                    Hint::setting(Setting::TlsName, "")
                        .then(" names the server, as its certificate does"),
                );
            }
            Self::TlsHalf => {
                return Some(
                    Hint::text("give both, ")
                        .then_setting(Setting::TlsCert, "")
                        .then(" and ")
                        .then_setting(Setting::TlsKey, ""),
                );
            }
            Self::TlsFile { .. } => "certificates and keys are taken from PEM files",
            Self::TlsNoTrust => {
                return Some(
                    Hint::text("install the package `ca-certificates`, or name a file with ")
                        .then_setting(Setting::TlsCa, ""),
                );
            }
            Self::EmptyShare { .. } => "start as many processes as there are connections, or fewer",
            Self::SecretUnreadable { .. } | Self::SecretMalformed { .. } => {
                "it holds one line, `USER:PASSWORD`, as a file of `memcached -Y` does"
            }
            Self::SignInWanted { .. } => {
                return Some(
                    Hint::setting(Setting::Auth, "ascii")
                        .then(" with ")
                        .then_setting(Setting::AuthFile, "")
                        .then(" signs in; a memcached with `-S` wants ")
                        .then_setting(Setting::Auth, "sasl"),
                );
            }
            Self::SignInUnwanted { .. } => {
                return Some(Hint::text("leave out ").then_setting(Setting::Auth, ""));
            }
            Self::SignInRefused { .. } => {
                "compare them with the server's (`memcached -Y FILE`, or the database of SASL)"
            }
            Self::TargetSpeaks { .. } => {
                "a memcached with `-S` takes only binary requests, one with `-Y` none of them: replay to one without"
            }
            _ => return None,
        };
        Some(Hint::text(hint))
    }
}

fn tls_words(fault: TlsFault, words: &str) -> String {
    match fault {
        TlsFault::Untrusted => "its certificate is signed by nobody who is trusted".to_owned(),
        TlsFault::OtherName => format!("its certificate is another server's ({words})"),
        TlsFault::Expired => format!("its certificate is not valid now ({words})"),
        TlsFault::Refused => format!("it refused the TLS connection ({words})"),
        TlsFault::NotTls => "it does not speak TLS".to_owned(),
        TlsFault::Other => format!("TLS failed: {words}"),
    }
}

fn tls_hint(fault: TlsFault) -> Hint {
    match fault {
        TlsFault::Untrusted => Hint::setting(Setting::TlsCa, "")
            .then(" names a file with the certificate that signed it"),
        TlsFault::OtherName => Hint::setting(Setting::TlsName, "")
            .then(" gives the name that it should have; is this the right target?"),
        TlsFault::Expired => Hint::text("renew it, or set this machine's clock"),
        TlsFault::Refused => Hint::text("it may want a client's certificate: ")
            .then_setting(Setting::TlsCert, "")
            .then(" and ")
            .then_setting(Setting::TlsKey, ""),
        TlsFault::NotTls => Hint::text("leave out ")
            .then_setting(Setting::Tls, "")
            .then(", or name the port on which it listens with TLS (`memcached -Z`)"),
        TlsFault::Other => Hint::text("`openssl s_client -connect HOST:PORT` tells more"),
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
