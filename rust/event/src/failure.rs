//! Facts of a failure: its class, and the remedy, worded for the command line or for the library.

use std::borrow::Cow;
use std::fmt;
use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt;

/// Classes of failures. Each is an exception of its own in Python and has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Internal failure: exit 1.
    Failed,
    /// Wrong command or argument: exit 2.
    Usage,
    /// Unusable profile: exit 1.
    Profile,
    /// Refusal by this machine or its permissions: exit 5.
    Environment,
    /// Refusal by the target of a replay: exit 5.
    Target,
    /// Existing output: exit 2.
    Exists,
}

/// Facts that every error of membench states beside its message. The message says what was wanted and what was found.
pub trait Failure: std::error::Error {
    /// Returns the class, which decides on the exception and the exit code.
    fn class(&self) -> Class;

    /// Returns the remedy; `None` if there is none.
    fn hint(&self) -> Option<Hint>;
}

/// An option of a recording or replay, with its names in a shell and in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Replaces an existing output.
    Force,
    /// Ports to follow.
    Ports,
    /// Processes to follow.
    Pids,
    /// Control groups to follow.
    Cgroups,
    /// Network namespaces to follow.
    NetworkNamespaces,
    /// Paths of UNIX-domain sockets to follow.
    Sockets,
    /// The end of connections to follow: servers or clients.
    Side,
    /// The kernel hooks to use.
    Hooks,
    /// The part of responses to keep.
    Responses,
    /// Size of the buffer between the kernel and the recorder.
    RingSize,
    /// Sampling of connections: one in N.
    SampleConnections,
    /// Most CPU time of a recording.
    MaxCpu,
    /// Most memory of a recording.
    MaxMemory,
    /// Waiting for a server.
    Wait,
    /// Bytes at which a recording ends.
    MaxSize,
    /// Least disk space that must stay free.
    MinFree,
    /// Target of a recorded server.
    Map,
    /// Recorded server to replay.
    Server,
    /// TLS with the target.
    Tls,
    /// Certificates that may sign the target's.
    TlsCa,
    /// Certificate to show to the target.
    TlsCert,
    /// Key of that certificate.
    TlsKey,
    /// Name that the target's certificate must have.
    TlsName,
    /// Way to sign in.
    Auth,
    /// File of user and password.
    AuthFile,
    /// Replays against a target that holds items or has other clients.
    AllowNonempty,
    /// Replays a sample.
    AllowSampled,
}

impl Setting {
    /// Returns the flag of the command line.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Force => "--force",
            Self::Ports => "--port",
            Self::Pids => "--pid",
            Self::Cgroups => "--cgroup",
            Self::NetworkNamespaces => "--netns",
            Self::Sockets => "--socket",
            Self::Side => "--side",
            Self::Hooks => "--hooks",
            Self::Responses => "--responses",
            Self::RingSize => "--ring-size",
            Self::SampleConnections => "--sample-connections",
            Self::MaxCpu => "--max-cpu",
            Self::MaxMemory => "--max-memory",
            Self::Wait => "--wait",
            Self::MaxSize => "--max-size",
            Self::MinFree => "--min-free",
            Self::Map => "--map",
            Self::Server => "--server",
            Self::Tls => "--tls",
            Self::TlsCa => "--tls-ca",
            Self::TlsCert => "--tls-cert",
            Self::TlsKey => "--tls-key",
            Self::TlsName => "--tls-name",
            Self::Auth => "--auth",
            Self::AuthFile => "--auth-file",
            Self::AllowNonempty => "--allow-nonempty",
            Self::AllowSampled => "--allow-sampled",
        }
    }

    /// Returns the keyword argument in Python, or the attribute of the class that groups it.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Force => "force",
            Self::Ports => "ports",
            Self::Pids => "Selection.pids",
            Self::Cgroups => "Selection.cgroups",
            Self::NetworkNamespaces => "Selection.network_namespaces",
            Self::Sockets => "Selection.sockets",
            Self::Side => "Selection.side",
            Self::Hooks => "hooks",
            Self::Responses => "responses",
            Self::RingSize => "ring_size",
            Self::SampleConnections => "Sample.connections",
            Self::MaxCpu => "Guards.max_cpu",
            Self::MaxMemory => "Guards.max_memory",
            Self::Wait => "wait",
            Self::MaxSize => "max_size",
            Self::MinFree => "Guards.min_free",
            Self::Map => "target",
            Self::Server => "server",
            Self::Tls => "tls",
            Self::TlsCa => "tls_ca",
            Self::TlsCert => "tls_cert",
            Self::TlsKey => "tls_key",
            Self::TlsName => "tls_name",
            Self::Auth => "auth",
            Self::AuthFile => "auth_file",
            Self::AllowNonempty => "allow_nonempty",
            Self::AllowSampled => "allow_sampled",
        }
    }

    /// Returns the option with its value as Python writes it; `""` stands for no value.
    fn in_python(self, value: &str) -> String {
        let keyword = self.keyword();
        match (self, value) {
            (
                Self::Force | Self::Wait | Self::Tls | Self::AllowNonempty | Self::AllowSampled,
                _,
            ) => {
                format!("{keyword}=True")
            }
            (Self::Map, value) if value.contains('=') => {
                let (server, target) = value.split_once('=').unwrap_or_default();
                format!("{keyword}={{\"{server}\": \"{target}\"}}")
            }
            (_, "") => keyword.to_owned(),
            _ => match keyword.split_once('.') {
                Some((group, attribute)) => format!("{group}({attribute}=[\"{value}\"])"),
                None => format!("{keyword}=\"{value}\""),
            },
        }
    }
}

/// Writes the flag without its dashes: users of the shell and of Python both recognise it in a message.
impl fmt::Display for Setting {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.flag().trim_start_matches('-'))
    }
}

/// A remedy. It holds options and commands as facts, which the command line words as `--force` and the library as
/// `force=True`.
///
/// ```
/// use membench_event::{Hint, Setting};
///
/// let hint = Hint::setting(Setting::Force, "").then(" replaces it");
/// assert_eq!(hint.for_command_line(), "`--force` replaces it");
/// assert_eq!(hint.for_library(), "`force=True` replaces it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Cow<'static, str>),
    Setting(Setting, &'static str),
    Command(&'static str, &'static str),
}

impl Hint {
    /// Creates a hint that reads the same in a shell and in Python.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// Creates a hint that begins with an option and its value; a switch has the value `""`.
    pub fn setting(setting: Setting, value: &'static str) -> Self {
        Self(vec![Part::Setting(setting, value)])
    }

    /// Creates a hint that begins with a command of membench and its argument, which may be `""`.
    pub fn command(name: &'static str, argument: &'static str) -> Self {
        Self(vec![Part::Command(name, argument)])
    }

    /// Appends text.
    #[must_use]
    pub fn then(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.push(Part::Text(text.into()));
        self
    }

    /// Appends an option and its value.
    #[must_use]
    pub fn then_setting(mut self, setting: Setting, value: &'static str) -> Self {
        self.0.push(Part::Setting(setting, value));
        self
    }

    /// Appends another hint.
    #[must_use]
    pub fn then_hint(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Words the hint for users of the command line.
    pub fn for_command_line(&self) -> String {
        self.worded(|part| match part {
            Part::Text(text) => text.clone().into_owned(),
            Part::Setting(setting, "") => format!("`{}`", setting.flag()),
            Part::Setting(setting, value) => format!("`{} {value}`", setting.flag()),
            Part::Command(name, "") => format!("`membench {name}`"),
            Part::Command(name, argument) => format!("`membench {name} {argument}`"),
        })
    }

    /// Words the hint for users of the Python library.
    pub fn for_library(&self) -> String {
        self.worded(|part| match part {
            Part::Text(text) => text.clone().into_owned(),
            Part::Setting(setting, value) => format!("`{}`", setting.in_python(value)),
            Part::Command(name, argument) => format!("`membench.{name}({argument})`"),
        })
    }

    fn worded(&self, word: impl Fn(&Part) -> String) -> String {
        self.0.iter().map(word).collect()
    }
}

/// Returns the class of a failure to read or write what an argument names: a name that is wrong, or a system that does
/// not allow it.
pub fn io_class(source: &io::Error) -> Class {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound, NotSeekable};
    match source.kind() {
        NotFound | IsADirectory | NotADirectory | InvalidFilename | NotSeekable => Class::Usage,
        _ => Class::Environment,
    }
}

/// The system's number for too many open files, on every Linux.
const EMFILE: i32 = 24;

/// Checks the type of something that is to be read to its end, or replaced: only a regular file can be.
pub fn regular(found: FileType) -> io::Result<()> {
    let found = if found.is_file() {
        return Ok(());
    } else if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    } else if found.is_fifo() {
        "it is a pipe (FIFO), and a file is wanted"
    } else if found.is_symlink() {
        "it is a link, and a file is wanted"
    } else if found.is_socket() {
        "it is a socket, and a file is wanted"
    } else {
        "it is a device, and a file is wanted"
    };
    Err(io::Error::new(io::ErrorKind::NotSeekable, found))
}

/// Returns the remedy for the usual reasons why a file cannot be read or written.
pub fn io_hint(source: &io::Error) -> Option<Hint> {
    use io::ErrorKind::{
        IsADirectory, NotADirectory, NotFound, NotSeekable, PermissionDenied, ReadOnlyFilesystem,
        StorageFull,
    };
    if source.raw_os_error() == Some(EMFILE) {
        return Some(Hint::text("raise the number of open files: `ulimit -n`"));
    }
    let hint = match source.kind() {
        IsADirectory => "it is a folder, and a file is wanted",
        NotADirectory => "a part of this path is a file, and no folder",
        NotFound => "check the name, and that its folder exists",
        NotSeekable => "name a regular file",
        PermissionDenied => "check who owns it, or run as its owner",
        StorageFull => "free some space, or choose another disk",
        ReadOnlyFilesystem => "choose a disk that can be written to",
        _ => return None,
    };
    Some(Hint::text(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_speaks_to_its_reader() {
        let cases = [
            (
                Hint::text("use ").then_setting(Setting::Hooks, "syscalls"),
                "use `--hooks syscalls`",
                "use `hooks=\"syscalls\"`",
            ),
            (
                Hint::setting(Setting::NetworkNamespaces, "PID")
                    .then(" or ")
                    .then_setting(Setting::Pids, ""),
                "`--netns PID` or `--pid`",
                "`Selection(network_namespaces=[\"PID\"])` or `Selection.pids`",
            ),
            (
                Hint::command("keygen", "FILE").then(" makes one"),
                "`membench keygen FILE` makes one",
                "`membench.keygen(FILE)` makes one",
            ),
            (
                Hint::command("doctor", "").then_hint(Hint::text(" tells")),
                "`membench doctor` tells",
                "`membench.doctor()` tells",
            ),
        ];
        for (hint, shell, python) in cases {
            assert_eq!(hint.for_command_line(), shell);
            assert_eq!(hint.for_library(), python);
        }
    }
}
