//! Failures of a trace: their messages, classes and remedies.

use std::{io, path::PathBuf};

use membench_event::{Class, Failure, Hint};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No call has this name.
    #[error("no system call is named `{name}` on this machine{}", likely(nearest))]
    UnknownCall {
        /// The name that was asked for.
        name: String,
        /// Names that are like it.
        nearest: Vec<&'static str>,
    },
    /// No class of calls has this name.
    #[error("no class of system calls is named `%{name}`; wanted {known}")]
    UnknownClass {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// No call is left.
    #[error("no system call is left to trace")]
    NoCalls,
    /// Neither a process nor a port was named.
    #[error("no process to trace")]
    NoProcess,
    /// There are more processes than the kernel's programs can compare with.
    #[error("{found} processes to trace; at most {most} are traced at a time")]
    TooManyProcesses {
        /// How many were asked for.
        found: usize,
        /// How many there can be.
        most: usize,
    },
    /// There are more ports than the kernel's programs can compare with, or one is 0.
    #[error("wanted 1 to {most} ports from 1 to 65535, got: {found:?}")]
    Ports {
        /// The ports that were asked for.
        found: Vec<u16>,
        /// How many there can be.
        most: usize,
    },
    /// A process does not exist.
    #[error("no process {pid} is running")]
    NoSuchProcess {
        /// Its number.
        pid: u32,
    },
    /// A thread was named instead of its process.
    #[error("{tid} is a thread of process {pid}")]
    Thread {
        /// The thread.
        tid: u32,
        /// Its process.
        pid: u32,
    },
    /// Nobody listens on a port, as far as this user can see.
    #[error(
        "no process listens on port {}, as far as this user can see",
        list(ports)
    )]
    NobodyListens {
        /// The ports.
        ports: Vec<u16>,
    },
    /// Registers of this machine have other names.
    #[error("tracing works on x86-64 only, this is {architecture}")]
    Architecture {
        /// The architecture.
        architecture: &'static str,
    },
    /// A file of the system cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The kernel refuses the programs.
    #[error(transparent)]
    Kernel(#[from] membench_bpf::Error),
}

fn likely(nearest: &[&str]) -> String {
    let names: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("; did you mean {}?", names.join(", "))
}

fn list(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::UnknownCall { .. }
            | Self::UnknownClass { .. }
            | Self::NoCalls
            | Self::NoProcess
            | Self::TooManyProcesses { .. }
            | Self::Ports { .. }
            | Self::Thread { .. } => Class::Usage,
            Self::NoSuchProcess { .. }
            | Self::NobodyListens { .. }
            | Self::Architecture { .. }
            | Self::Io { .. } => Class::Environment,
            Self::Kernel(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<Hint> {
        let text = match self {
            Self::UnknownCall { .. } => {
                "names are those of strace: `read`, `sendmsg`, `%network`, `%all`"
            }
            Self::NoCalls => "name a call or a class: `read`, `%network`, `%all`",
            Self::NoProcess => {
                "name a process or the port of a server: `--pid 812`, `--port 11211`"
            }
            Self::TooManyProcesses { .. } => "trace one server at a time",
            Self::Thread { pid, .. } => {
                return Some(Hint::text(format!(
                    "all threads of a process are traced: `--pid {pid}`"
                )));
            }
            Self::NoSuchProcess { .. } => "`pgrep -a memcached` lists servers with their numbers",
            Self::NobodyListens { .. } => {
                "`ss -ltnp` lists listening sockets; as another user than the server's, name the process: `--pid`"
            }
            Self::Architecture { .. } => "strace traces here, at its price",
            Self::Kernel(error) => return error.hint(),
            Self::UnknownClass { .. } | Self::Ports { .. } | Self::Io { .. } => return None,
        };
        Some(Hint::text(text))
    }
}
