//! Failures of a trace: their messages, classes and remedies.

use std::{io, path::PathBuf};

use membench_event::{Class, Failure, Hint, Setting};

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
    /// More calls are to be traced at their functions than there are programs.
    #[error("{found} calls to trace at their functions; at most {most} are")]
    TooManyFunctions {
        /// The number asked for.
        found: usize,
        /// The largest number.
        most: usize,
    },
    /// Neither a process nor a port was named.
    #[error("no process to trace")]
    NoProcess,
    /// There are more processes than the kernel's programs can compare with.
    #[error("{found} processes to trace; at most {most} are traced at a time")]
    TooManyProcesses {
        /// The number asked for.
        found: usize,
        /// The largest number.
        most: usize,
    },
    /// There are more ports than the kernel's programs can compare with, or one is 0.
    #[error("wanted 1 to {most} ports from 1 to 65535, got: {found:?}")]
    Ports {
        /// The ports that were asked for.
        found: Vec<u16>,
        /// The largest number.
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
    /// The kernel refuses the programs at functions, which were asked for.
    #[error(transparent)]
    Functions(membench_bpf::Error),
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
            | Self::TooManyFunctions { .. }
            | Self::NoProcess
            | Self::TooManyProcesses { .. }
            | Self::Ports { .. }
            | Self::Thread { .. } => Class::Usage,
            Self::NoSuchProcess { .. }
            | Self::NobodyListens { .. }
            | Self::Architecture { .. }
            | Self::Io { .. } => Class::Environment,
            Self::Functions(error) | Self::Kernel(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<Hint> {
        let text = match self {
            Self::UnknownCall { .. } => {
                "names are those of strace: `read`, `sendmsg`, `%network`, `%all`"
            }
            Self::NoCalls => "name a call or a class: `read`, `%network`, `%all`",
            Self::TooManyFunctions { .. } => {
                return Some(
                    Hint::text("name the calls that matter, or ")
                        .then_setting(Setting::Hooks, "tracepoints"),
                );
            }
            Self::Functions(_) => {
                return Some(
                    Hint::setting(Setting::Hooks, "tracepoints")
                        .then(" needs no trampolines, which not every kernel has or allows"),
                );
            }
            Self::NoProcess => "name a process, or the port of a server",
            Self::TooManyProcesses { .. } => "trace one server at a time",
            Self::Thread { pid, .. } => {
                return Some(Hint::text(format!(
                    "all threads of a process are traced: name process {pid}"
                )));
            }
            Self::NoSuchProcess { .. } => "`pgrep -a memcached` lists servers with their numbers",
            Self::NobodyListens { .. } => {
                "`ss -ltnp` lists listening sockets; as another user than the server's, name its process"
            }
            Self::Architecture { .. } => "strace traces here, at its price",
            Self::Kernel(error) => return error.hint(),
            Self::UnknownClass { .. } | Self::Ports { .. } | Self::Io { .. } => return None,
        };
        Some(Hint::text(text))
    }
}
