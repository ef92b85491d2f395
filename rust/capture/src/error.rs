//! Every failure of a capture, under one type; the parts of a capture define their own failures.

use std::{io, path::PathBuf};

use membench_decode::{packet::PacketError, privacy::KeyError};
use membench_event::{Class, Failure, Hint, Setting, io_class, io_hint, size};

use crate::privileges::PrivilegesError;
#[cfg(feature = "ebpf")]
use crate::source::sockets::failure;

/// A failure to load or attach kernel programs.
#[cfg(feature = "ebpf")]
pub use membench_bpf::Error as KernelError;

/// The forms of a source.
const GRAMMAR: &str = "`ebpf:any` records at the sockets, `ebpf:INTERFACE`, `pcap:INTERFACE` and `FILE.pcap` from packets, \
                       `watch:HOST:PORT` from memcached's own log, `FILE` or `-` from packets or such a log that were stored";

/// The result of a capture.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of a capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key that protects keys is not available.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The kernel lacks or refuses something.
    #[cfg(feature = "ebpf")]
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Programs cannot tell the control group of a task on this kernel.
    #[error(
        "Failed to load eBPF program: on Linux {kernel} programs cannot tell a task's control group"
    )]
    NoControlGroups {
        /// The kernel's release.
        kernel: String,
    },
    /// Privileges cannot be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    /// Packets cannot be read.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The profile cannot be written.
    #[error(transparent)]
    Profile(#[from] membench_profile::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An option is for other sources.
    #[error("{origin}: this `{option}` is for `ebpf:any` only")]
    NotForSource {
        /// The option.
        option: Setting,
        /// The source as the user wrote it.
        origin: String,
    },
    /// Sockets are told by their ports, and not by what passes.
    #[error("{origin}: ports must be named here, as they tell which sockets are followed")]
    NotAnyPort {
        /// The source as the user wrote it.
        origin: String,
    },
    /// The option selects by something that a log does not contain.
    #[error("`{option}` is not for memcached's own log")]
    NotForLog {
        /// The option.
        option: Setting,
    },
    /// Nothing listens where a server was to be recorded.
    #[error("{why}")]
    NoServer {
        /// The place, in words.
        why: String,
        /// The memcacheds that run, in words; `None` if none is seen.
        running: Option<String>,
    },
    /// The disk to write to has less room than is to stay free.
    #[error(
        "{}: {} free, `{}` is {}",
        folder.display(),
        size(*free),
        Setting::MinFree,
        size(*wanted)
    )]
    DiskFull {
        /// The folder of the output.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are to stay free.
        wanted: u64,
    },
    /// The text is not a source.
    #[error("'{text}' is not a source")]
    NotASource {
        /// The text.
        text: String,
    },
    /// A source cannot be recorded together with others.
    #[error("'{text}' is no capture file, and only these are recorded together")]
    NotTogether {
        /// The source.
        text: String,
    },
    /// A source names an interface that does not exist.
    #[error("{text}: no interface is called '{name}'")]
    NoInterface {
        /// The source as the user wrote it.
        text: String,
        /// The interface; empty if none is named.
        name: String,
        /// The interfaces of this machine.
        known: Vec<String>,
    },
    /// A source names no server whose log could be read.
    #[error("'{text}' is not `watch:HOST:PORT`")]
    NotAnAddress {
        /// The source as the user wrote it.
        text: String,
    },
    /// The hooks are those of interfaces.
    #[error("{origin}: the hooks `{hooks}` are for `ebpf:INTERFACE` only")]
    NotOfInterface {
        /// The source as the user wrote it.
        origin: String,
        /// The hooks asked for.
        hooks: &'static str,
    },
    /// The system refused a resource that a recording needs.
    #[error("no {what} for the recording: {source}")]
    NotStarted {
        /// The missing resource.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A server whose log is to be recorded cannot be reached, or broke off before it began.
    #[error("watch:{server}: {source}")]
    WatchUnreachable {
        /// The server.
        server: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A server does not send its log.
    #[error("watch:{server}: the server does not send its log: {}", if found.is_empty() { "it hung up" } else { found })]
    WatchRefused {
        /// The server.
        server: String,
        /// The server's answer instead.
        found: String,
    },
    /// The file is not a memcached log.
    #[error("{} is not a memcached log (`watch fetchers mutations`): {found}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// Clause that describes the file's content, like `it is empty`.
        found: String,
    },
    /// The file is a server's refusal to send its log.
    #[error("{}: the server did not send its log: {found}", path.display())]
    LogRefused {
        /// The file.
        path: PathBuf,
        /// The server's answer instead.
        found: String,
    },
    /// The connection on which the hooks are tried could not be made.
    #[error("a connection of our own over 127.0.0.1, to try the hooks with: {source}")]
    NoTrial {
        /// The system's reason.
        source: io::Error,
    },
    /// The programs were attached, but did not see the bytes that passed.
    #[error("the kernel programs are attached but see {seen:?} of {sent} bytes sent both ways")]
    HooksSilent {
        /// Bytes read and sent, as the programs counted them.
        seen: [u64; 2],
        /// Bytes sent each way.
        sent: u64,
    },
    /// A recording's result was asked for twice.
    #[error("the recording's result was already taken")]
    RecorderTaken,
    /// The recording's thread panicked.
    #[error("the recorder stopped unexpectedly; what it wrote can be opened")]
    RecorderPanicked,
    /// libpcap is not installed.
    #[error("no libpcap: {reason}")]
    NoLibpcap {
        /// The loader's message.
        reason: String,
    },
    /// This process may not capture packets.
    #[error("pcap:{interface}: packets may not be captured: {reason}")]
    PacketsForbidden {
        /// The interface.
        interface: String,
        /// libpcap's message.
        reason: String,
    },
    /// libpcap does not capture here.
    #[error("pcap:{interface}: packets cannot be captured: {reason}")]
    PacketsUnavailable {
        /// The interface.
        interface: String,
        /// libpcap's message.
        reason: String,
    },
    /// Neither the kernel's hooks nor packets can be recorded here.
    #[error("{kernel}\n{packets}")]
    NoSource {
        /// The failure of the hooks.
        kernel: Box<Error>,
        /// The failure of packets.
        packets: Box<Error>,
    },
    /// The source needs something that this build leaves out.
    #[error("{} capture requires --features {feature}, got: {wanted}", if *feature == "ebpf" { "eBPF" } else { "packet" })]
    FeatureMissing {
        /// The Cargo feature.
        feature: &'static str,
        /// The source.
        wanted: &'static str,
    },
    /// The kernel has no buffers of this size.
    #[error("a buffer of {wanted} bytes was asked for, but the largest has {most}")]
    BufferTooLarge {
        /// The size asked for, bytes.
        wanted: u64,
        /// The largest size, bytes.
        most: u64,
    },
    /// The programs can follow some ports, but not these.
    #[error("between 1 and {most} ports can be followed, none of them 0, got: {wanted:?}")]
    Ports {
        /// The ports asked for.
        wanted: Vec<u16>,
        /// Most ports at once.
        most: usize,
    },
    /// A recording cannot be narrowed as asked for.
    #[error("{option} {wanted}: {found}")]
    Selection {
        /// The option.
        option: Setting,
        /// The value of the option.
        wanted: String,
        /// The finding on this machine.
        found: String,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Key(error) => error.class(),
            #[cfg(feature = "ebpf")]
            Self::Kernel(error) => error.class(),
            Self::Privileges(error) => error.class(),
            Self::Packet(error) => error.class(),
            Self::Profile(error) => error.class(),
            Self::RecorderTaken | Self::RecorderPanicked => Class::Failed,
            Self::NotForSource { .. }
            | Self::NotForLog { .. }
            | Self::NotAnyPort { .. }
            | Self::NotASource { .. }
            | Self::NoInterface { .. }
            | Self::NotAnAddress { .. }
            | Self::NotOfInterface { .. }
            | Self::NotTogether { .. }
            | Self::NotALog { .. }
            | Self::LogRefused { .. }
            | Self::BufferTooLarge { .. }
            | Self::Ports { .. }
            | Self::Selection { .. } => Class::Usage,
            Self::Io { source, .. } => io_class(source),
            Self::NoServer { .. }
            | Self::DiskFull { .. }
            | Self::NotStarted { .. }
            | Self::NoControlGroups { .. }
            | Self::NoLibpcap { .. }
            | Self::PacketsForbidden { .. }
            | Self::PacketsUnavailable { .. }
            | Self::NoSource { .. }
            | Self::FeatureMissing { .. }
            | Self::NoTrial { .. }
            | Self::HooksSilent { .. }
            | Self::WatchUnreachable { .. }
            | Self::WatchRefused { .. } => Class::Environment,
        }
    }

    fn hint(&self) -> Option<Hint> {
        let text = match self {
            Self::Key(error) => return error.hint(),
            #[cfg(feature = "ebpf")]
            Self::Kernel(error) => return failure::hint(error),
            Self::Privileges(error) => return error.hint(),
            Self::NoServer { running, .. } => return Some(no_server_hint(running.as_deref())),
            Self::DiskFull { .. } => {
                return Some(
                    Hint::text("free some space, choose another disk, or lower ")
                        .then_setting(Setting::MinFree, ""),
                );
            }
            Self::NoControlGroups { .. } => {
                return Some(
                    Hint::text("name its processes with ")
                        .then_setting(Setting::Pids, "")
                        .then(", or use Linux 5.15 or newer"),
                );
            }
            Self::Packet(error) => return error.hint(),
            Self::Profile(error) => return error.hint(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotSeekable => {
                return Some(Hint::command("record", "- OUTPUT < FILE").then(" reads a stream"));
            }
            Self::Io { source, .. } => return io_hint(source),
            Self::NoSource { kernel, packets } => return both_hints(kernel, packets),
            Self::Selection { option, .. } => return selection_hint(*option),
            Self::WatchUnreachable { server, source } => {
                return Some(Hint::text(unreachable_hint(server, source)));
            }
            Self::FeatureMissing { feature, .. } => {
                return Some(Hint::text(format!("build with `--features {feature}`")));
            }
            Self::RecorderPanicked => {
                return Some(Hint::command("repair", "").then(" seals it; please report this"));
            }
            Self::PacketsUnavailable { .. } => {
                return Some(Hint::command("doctor", "").then(" shows what this machine can do"));
            }
            Self::Ports { .. } | Self::RecorderTaken | Self::HooksSilent { .. } => return None,
            Self::NoLibpcap { .. } => {
                "install it: `apt-get install libpcap0.8`, `dnf install libpcap` or `apk add libpcap`"
            }
            Self::PacketsForbidden { .. } => "run as root, or with CAP_NET_RAW in a container",
            Self::BufferTooLarge { .. } => {
                return Some(
                    Hint::text("a smaller ")
                        .then_setting(Setting::RingSize, "")
                        .then(": packets get four times that"),
                );
            }
            Self::NotOfInterface { .. } => {
                "leave this option out: the first way that works is taken"
            }
            Self::NotForSource {
                origin,
                option: Setting::Hooks,
            } if origin.starts_with("ebpf:") => "an interface takes the hooks `tcx` and `clsact`",
            Self::NotForSource { .. } => {
                "leave this option out: only ports and addresses are known from packets"
            }
            Self::NotForLog { .. } => {
                "leave this option out: the log is one server's, and only keys and connections can be sampled"
            }
            Self::NotASource { .. } => GRAMMAR,
            Self::NoInterface { name, .. } if name.is_empty() => GRAMMAR,
            Self::NoInterface { known, .. } if known.is_empty() => "this machine has none",
            Self::NoInterface { known, .. } => {
                return Some(Hint::text(format!("this machine has {}", known.join(", "))));
            }
            Self::NotAnAddress { .. } => "for example `watch:127.0.0.1:11211`",
            Self::NoTrial { .. } => "bring the loopback interface up: `ip link set lo up`",
            Self::NotStarted { .. } => {
                "raise a limit: `ulimit -u` (threads), `ulimit -n` (files), the service's `TasksMax`"
            }
            Self::WatchRefused { found, .. } | Self::LogRefused { found, .. } => {
                refused_hint(found)
            }
            Self::NotTogether { .. } => "record it alone",
            Self::NotAnyPort { .. } => {
                "name them, or find memcached on any port in packets: `ebpf:INTERFACE`, `pcap:any`, or a capture file"
            }
            Self::NotALog { .. } => {
                "`(echo watch fetchers mutations connevents; cat) | nc HOST PORT > watch.log` makes one"
            }
        };
        Some(Hint::text(text))
    }
}

/// Names the servers that could be recorded instead of one that was not found.
fn no_server_hint(running: Option<&str>) -> Hint {
    let found = match running {
        Some(running) => Hint::text(format!("memcached runs here on {running}: name it with "))
            .then_setting(Setting::Ports, ""),
        None => Hint::text("no memcached runs here, as far as you can see"),
    };
    found
        .then("; ")
        .then_setting(Setting::Wait, "")
        .then(" begins without a server and records it once it appears")
}

/// Says where to look up the names that an option takes.
fn selection_hint(option: Setting) -> Option<Hint> {
    match option {
        Setting::Pids => Some(
            Hint::text("`pgrep memcached` lists pids; ")
                .then_setting(Setting::Ports, "")
                .then(" names ports that nobody listens on yet"),
        ),
        Setting::Cgroups => Some(Hint::text(
            "`cat /proc/PID/cgroup` has the path, in the line that begins with `0::`",
        )),
        Setting::NetworkNamespaces => Some(
            Hint::text("`ip netns` lists names; ")
                .then_setting(Setting::NetworkNamespaces, "PID")
                .then(" takes that of a process"),
        ),
        _ => None,
    }
}

/// Joins the remedies for the kernel's hooks and for packets.
fn both_hints(kernel: &Error, packets: &Error) -> Option<Hint> {
    match (kernel.hint(), packets.hint()) {
        (Some(hooks), Some(packets)) => Some(hooks.then("; for packets: ").then_hint(packets)),
        (hooks, packets) => hooks.or(packets),
    }
}

/// Explains why a server may not have been reached.
fn unreachable_hint(server: &str, source: &std::io::Error) -> String {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match source.kind() {
        // Errors of a socket whose time limit has passed.
        WouldBlock | TimedOut => {
            format!(
                "{server} did not answer in 2 s: a firewall, or TLS, which is not supported here"
            )
        }
        _ => format!("is memcached running and listening on {server}? (plain TCP, text protocol)"),
    }
}

/// Explains the answer of a server that does not send its log.
fn refused_hint(found: &str) -> &'static str {
    if found.contains("not allowed") {
        "memcached was started with `-W`, which forbids it: start it without, or record `ebpf:any`"
    } else if found.contains("unauthenticated") {
        "memcached asks for a password (`-Y`), which is not supported here: record `ebpf:any`"
    } else if found.starts_with("WATCHER_TOO_MANY") {
        "20 clients watch it already: end one of them, or record `ebpf:any`"
    } else {
        "it takes a memcached of version 1.4.26 or newer that speaks the text protocol; `ebpf:any` records any"
    }
}
